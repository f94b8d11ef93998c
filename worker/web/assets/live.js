/**
 * The live parts of a build's page. The page comes whole from the edge; this continues its log over Server-Sent
 * Events and puts the other parts, as the edge renders them now, in the place of what is shown.
 */

/** Lines that stay in the page; those before them are in the whole log. */
const KEPT_LINES = 5_000;
/** Milliseconds between two looks at a build that goes on. */
const LOOK_MS = 4_000;
/** Milliseconds after which a log that was refused is asked for again, doubled up to the second. */
const AGAIN_MS = 1_000;
const AGAIN_MAX_MS = 30_000;
/** Pixels from the end that count as being there. */
const END_PIXELS = 24;

/** @param {string} id */
function element(id) {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no ${id}`);
  return found;
}

const log = element("log");
const logState = element("log-state");
const earlier = element("log-earlier");
const follow = element("log-follow");

let position = Number(log.dataset.position);
/** Whether the reader wants to see the newest line. */
let following = true;
/** @type {Node[]} */
let waiting = [];
let drawing = false;

function isAtEnd() {
  return log.scrollHeight - log.scrollTop - log.clientHeight < END_PIXELS;
}

function toEnd() {
  log.scrollTop = log.scrollHeight;
}

/** @param {{ msg: string, level: string, stream?: string }} entry */
function lineOf({ msg, level, stream }) {
  const line = document.createElement("div");
  line.className = classOf(stream, level);
  line.textContent = msg;
  return line;
}

/**
 * The same words as in log.tsx.
 * @param {string | undefined} stream
 * @param {string} level
 */
function classOf(stream, level) {
  if (stream === "stderr") return "line stderr";
  if (stream === "stdout") return "line";
  return level === "info" ? "line ours" : "line ours bad";
}

/** Puts what has come into the page, once for each picture that the browser draws. */
function draw() {
  drawing = false;
  const lines = waiting;
  waiting = [];
  log.append(...lines);
  const tooMany = log.childElementCount - KEPT_LINES;
  if (tooMany > 0) {
    earlier.hidden = false;
    const range = document.createRange();
    range.setStart(log, 0);
    range.setEndBefore(/** @type {Node} */ (log.children[tooMany]));
    const height = log.scrollHeight;
    range.deleteContents();
    if (!following) log.scrollTop -= height - log.scrollHeight;
  }
  if (following) toEnd();
}

/** @param {MessageEvent<string>} event */
function take(event) {
  const entry = JSON.parse(event.data);
  if (entry.position <= position) return;
  position = entry.position;
  waiting.push(lineOf(entry));
  // A page in the background draws nothing, and must not gather a whole log meanwhile.
  if (waiting.length > KEPT_LINES) waiting = waiting.slice(-KEPT_LINES);
  if (!drawing) requestAnimationFrame(draw);
  drawing = true;
  // What Railhead itself says tells of a change.
  if (entry.stream === undefined) look();
}

/** @param {number} pause */
function listen(pause) {
  const source = new EventSource(`${log.dataset.url}?after=${position}`);
  let again = pause;
  source.onopen = () => {
    again = AGAIN_MS;
    logState.textContent = "Live.";
  };
  source.onmessage = take;
  source.addEventListener("end", () => {
    source.close();
    logState.textContent = "Complete.";
    look();
  });
  source.onerror = () => {
    logState.textContent = "The connection is cut. It is tried again…";
    // The browser comes back by itself unless it was refused.
    if (source.readyState !== EventSource.CLOSED) return;
    setTimeout(listen, again, Math.min(again * 2, AGAIN_MAX_MS));
  };
}

let looking = false;
let lookAgain = false;

/** Renews the parts of the page that say how the build stands. */
async function look() {
  lookAgain = looking;
  if (looking) return;
  looking = true;
  try {
    const answer = await fetch(`${location.pathname}?log=none`, {
      headers: { accept: "text/html" },
    });
    if (answer.ok) renew(new DOMParser().parseFromString(await answer.text(), "text/html"));
  } catch {
    // The next look may find the edge again.
  }
  looking = false;
  if (lookAgain) look();
}

/** @param {Document} fresh */
function renew(fresh) {
  for (const now of fresh.querySelectorAll("[data-part]")) {
    const shown = element(now.id);
    // Nobody's typing is thrown away.
    const inUse = shown.contains(document.activeElement) && shown.querySelector("input") !== null;
    if (shown.outerHTML === now.outerHTML || (inUse && !hasEnded(fresh))) continue;
    shown.className = now.className;
    for (const { name, value } of now.attributes) shown.setAttribute(name, value);
    shown.replaceChildren(...now.childNodes);
  }
}

/** @param {Document} page */
function hasEnded(page) {
  return page.getElementById("made")?.dataset.state === "ended";
}

log.addEventListener("scroll", () => {
  following = isAtEnd();
  follow.hidden = following;
});
follow.addEventListener("click", toEnd);
toEnd();

if (log.dataset.live !== undefined) {
  logState.textContent = "Connecting…";
  listen(AGAIN_MS);
  const timer = setInterval(() => {
    if (hasEnded(document)) clearInterval(timer);
    else if (document.visibilityState === "visible") look();
  }, LOOK_MS);
} else if (!hasEnded(document)) {
  // It ended between the two halves of the page.
  look();
}
