/** Small images of web apps, made of the base image without a build: what they run is busybox. */
import { type BaseImage, makeBaseImage } from "./base-image.ts";

/** Serves `/tmp`, where it puts a page that says `text`. */
export function webServer(text: string, port = 80): string {
  return `echo ${text} >/tmp/index.html; echo serving ${text}; exec busybox httpd -f -p ${port} -h /tmp`;
}

/** An image whose containers run a shell script. */
export function scriptImage(script: string, changes: readonly string[] = []): Promise<BaseImage> {
  return makeBaseImage([`CMD ${JSON.stringify(["sh", "-c", script])}`, ...changes]);
}
