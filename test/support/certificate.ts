/** A certificate that no authority has signed, with its key: `tls.crt` and `tls.key` in `folder`. */
import { join } from "node:path";
import { must } from "./process.ts";

export async function makeCertificate(folder: string, host: string): Promise<void> {
  await must("openssl", [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"],
    ...["-subj", "/CN=railhead-tests", "-addext", `subjectAltName=IP:${host}`, "-days", "2"],
    ...["-keyout", join(folder, "tls.key"), "-out", join(folder, "tls.crt")],
  ]);
}
