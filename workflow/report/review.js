"use strict";
const $ = (id) => document.getElementById(id);
const MOVES = matchMedia("(prefers-reduced-motion: no-preference)").matches;
const LABELS = { anomaly: "anomaly", normal: "normal", skip: "skipped" };
let list, state, at, view, curve, late, corner, sent = 0, waiting = false, masking = false, lost = true;
// What keys do; the page has a button of each.
const DOES = {
  a: () => mark("anomaly"), n: () => mark("normal"), s: () => mark("skip"), u: undo,
  "shift+a": () => mark("anomaly", true), "shift+n": () => mark("normal", true),
  arrowleft: () => step(-1), k: () => step(-1), arrowright: () => step(1), j: () => step(1),
  space: () => ($("video").paused ? play() : $("video").pause()), ",": () => frame(-1), ".": () => frame(1),
  h: () => { $("heat").hidden = !$("heat").hidden; }, m: () => { masking = !masking; drawn(); },
  enter: () => watch(view === "full" ? "loop" : "full"), escape: close, "?": () => $("legend").showModal(),
};
const text = (id, words) => { if ($(id).textContent !== words) $(id).textContent = words; };
const url = encodeURIComponent;
const address = (what) => `/${what}?camera=${url($("camera").value)}`;
const media = (what, one = at) => `/media/${[list.camera, one.event, what].map(url).join("/")}?${list.ranking}`;
const label = (one) => state.labels[one.event] || state.earlier[one.event] || one.marked;
const alike = (one) => one.alike.map((place) => list.events[place]);
const similar = () => alike(at).filter((one) => !label(one)).length;
const play = () => $("video").play().catch(() => {});
const begins = () => (view.startsWith("w") ? curve.first + curve.step * Number(view.slice(1)) : curve.starts[view]);
const now = () => begins() + $("video").currentTime;
const frame = (by) => { $("video").pause(); $("video").currentTime += by / at.fps; };
const shape = (...size) => { $("video").style.aspectRatio = size.join("/"); }; // so that nothing below moves
const within = (value, low, high) => Math.min(Math.max(value, low), high);
const light = (words, kind) => { text("light", words); $("light").className = kind; };
const JSON_SENT = { method: "POST", headers: { "Content-Type": "application/json" } };
async function ask(path, body) {
  const answer = await fetch(path, body && { ...JSON_SENT, body: JSON.stringify(body) });
  const words = await answer.text();
  if (answer.ok) return JSON.parse(words);
  throw Object.assign(new Error(words.startsWith("{") ? JSON.parse(words).error : words.trim()), { refused: true });
}
// Sent until it is answered; what comes twice is one. Meanwhile nothing else is marked, as nobody would have seen it.
async function send(path, body) {
  if (waiting) return false;
  waiting = sent += 1;
  const slow = setTimeout(light, 150, "saving …", "wait");
  const given = { camera: list.camera, round: state.round, ...body };
  let done;
  while (done === undefined) {
    done = await ask(path, given).then(renew).then(() => true, (error) => {
      light(`not saved${error.refused ? `: ${error.message}` : " yet: no answer, trying again …"}`, "bad");
      return error.refused ? false : new Promise((resolve) => { setTimeout(resolve, 500); });
    });
  }
  clearTimeout(slow);
  waiting = false;
  if (done) light("saved", "good");
  return done;
}
// The next that does not nearly equal one of this round; else the next.
function suggested(after) {
  const left = list.events.filter((one) => !label(one)), place = list.events.indexOf(after);
  const inTurn = [...left.filter((one) => list.events.indexOf(one) > place), ...left];
  return inTurn.find((one) => !alike(one).some((other) => state.labels[other.event])) || inTurn[0];
}
async function mark(kind, several = false) {
  const one = at, more = several && similar() ? `, and ${similar()} similar` : "";
  const id = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (!(await send("/mark", { id, event: one.event, label: kind, similar: several, ranking: list.ranking }))) return;
  const next = suggested(one);
  show(next || one);
  text("say", `${one.name}: ${LABELS[kind]}${more}. ${next ? next.name : "All are marked: finish the round"}`);
}
async function undo() {
  const before = state.labels;
  if (!state.undo || !(await send("/undo", { undo: state.undo }))) return;
  show(list.events.find((one) => before[one.event] !== state.labels[one.event]) || at);
  text("say", `Taken back. ${at.name}`);
}
function step(by) {
  show(list.events[list.events.indexOf(at) + by] || at);
  text("say", at.card.ariaLabel);
}
function show(one) {
  at = one;
  curve = undefined;
  text("facts", one.where);
  named();
  drawn();
  for (const each of list.events) each.card.ariaCurrent = each === one ? "true" : null;
  if (matchMedia("(min-width: 60rem)").matches) one.card.scrollIntoView({ block: "nearest" });
  $("curve").classList.add("empty");
  if (one.heat) $("heat").src = media("heat.png"); else $("heat").removeAttribute("src");
  watch("loop");
  ask(media("curve")).then((found) => {
    if (at !== one) return;
    curve = found;
    for (const [id, given] of Object.entries(curve.drawn)) for (const name in given) $(id).setAttribute(name, given[name]);
    $("curve").classList.remove("empty");
    moves();
  }).catch(() => {});
}
function watch(what, second = 0) {
  view = what;
  document.body.classList.toggle("full", what === "full");
  const video = $("video");
  video.removeAttribute("src");
  Object.assign(video, { poster: media("picture.jpg"), ariaLabel: `${at.name}, silent` });
  $("fault").hidden = true;
  shape(...at.size);
  clearTimeout(late);
  // Who walks through the list quickly asks for none of what lies between.
  late = setTimeout(() => {
    video.src = media(`${what}.mp4`);
    video.onloadedmetadata = () => { video.currentTime = second; shape(video.videoWidth, video.videoHeight); };
    if (MOVES) play(); else video.load();
  }, 120);
}
function named() {
  text("title", [at.name, at.moved, LABELS[label(at)]].filter(Boolean).join(" · "));
  for (const one of document.querySelectorAll(".several")) {
    one.firstChild.textContent = one.firstChild.textContent.replace(/\d+/, similar());
    one.classList.toggle("none", !similar());
    one.hidden = !list.events.some((each) => each.alike.length);
  }
}
function close() {
  if ($("mask").hidden && view !== "loop") watch("loop");
  masking = false;
  drawn();
}
// The line of the present, and the heat, which is that of the peak.
function moves() {
  if (!curve) return;
  const x = within((1000 * (now() - curve.first)) / Math.max(curve.seconds, 0.1), 0, 1000);
  for (const side of ["x1", "x2"]) $("head").setAttribute(side, x);
  $("heat").style.opacity = within(1.5 - Math.abs(now() - at.peak), 0.25, 1);
}
function seek(click) {
  if (!curve) return;
  const box = $("curve").getBoundingClientRect(), since = (curve.seconds * (click.clientX - box.left)) / box.width;
  const second = curve.first + since - begins();
  if (second >= 0 && second <= $("video").duration) { $("video").currentTime = second; return; }
  const place = within(Math.floor(since / curve.step), 0, curve.windows - 1);
  watch(`w${place}`, since - curve.step * place);
}
function drawn(words = "") {
  document.body.classList.toggle("masking", !!masking);
  $("mask").hidden = !masking && !words;
  $("yaml").hidden = $("box").hidden = !words;
  text("masking", words || "Drag a rectangle over what is to be ignored. Esc ends it.");
}
function drag(move) {
  if (!masking || (move.type !== "pointerdown" && !corner)) return;
  move.preventDefault();
  const area = $("frame").getBoundingClientRect(), [across, down] = at.size;
  const here = [((move.clientX - area.left) / area.width) * across, ((move.clientY - area.top) / area.height) * down];
  if (move.type === "pointerdown") { corner = here; $("frame").setPointerCapture(move.pointerId); }
  const [x, y] = here.map((value, side) => Math.floor(within(Math.min(value, corner[side]), 0, at.size[side] - 1)));
  const [right, bottom] = here.map((value, side) => Math.ceil(within(Math.max(value, corner[side]), 1, at.size[side])));
  const [width, height] = [Math.max(right - x, 1), Math.max(bottom - y, 1)], share = (value, of) => `${(100 * value) / of}%`;
  Object.assign($("box").style, { left: share(x, across), top: share(y, down) });
  Object.assign($("box").style, { width: share(width, across), height: share(height, down) });
  $("box").hidden = false;
  if (move.type !== "pointerup") return;
  corner = masking = undefined;
  drawn(`Put it into the scene file of ${list.camera}; sdor scene FOLDER prints one.`);
  text("yaml", `masks:\n  - {x: ${x}, y: ${y}, width: ${width}, height: ${height}}\n`);
}
async function renewList() {
  const news = list && list.camera === $("camera").value;
  list = await ask(address("list"));
  at = undefined;
  $("side").replaceChildren(...new DOMParser().parseFromString(list.html, "text/html").body.children);
  const cards = Object.fromEntries([...$("side").querySelectorAll(".card")].map((card) => [card.value, card]));
  for (const one of list.events) Object.assign(one, { card: cards[one.event] }).card.onclick = () => show(one);
  $("unknown").hidden = list.similar;
  if (news) text("say", `There is a new list. ${list.news[0] || ""}`);
}
// What is there now, with marks that another page made, and a list that was made meanwhile.
async function renew(found) {
  if (found.camera !== $("camera").value) return;
  if (!list || list.camera !== found.camera || list.ranking !== found.ranking) await renewList();
  state = found;
  for (const one of list.events) {
    const kind = label(one);
    if (one.card.dataset.label === kind) continue;
    one.card.dataset.label = kind;
    one.card.lastChild.textContent = LABELS[kind] || "";
    one.card.ariaLabel = [one.name, LABELS[kind] || "not marked", one.where, one.moved].filter(Boolean).join(", ");
  }
  text("count", `${state.count} · round ${state.round}`);
  document.title = `${list.camera}: ${$("count").textContent}`;
  text("asks", `Finish round ${state.round}? ${state.count}`);
  $("finish").disabled = !Object.values(state.labels).some((kind) => kind !== "skip");
  $("learning").hidden = !state.next;
  text("learns", state.next);
  $("again").hidden = !state.run || state.run.at_work;
  text("none", list.events.length ? "" : "Nothing stands out");
  if (at) named();
  else if (list.events.length) show(suggested() || list.events[0]);
}
// Nothing of another camera is left to be marked.
function failed(words) {
  list = at = curve = undefined;
  clearTimeout(late);
  $("video").removeAttribute("src");
  $("side").replaceChildren();
  $("finish").disabled = $("learning").hidden = true;
  text("count", "");
  text("none", words);
}
async function refresh() {
  if (waiting || document.hidden) return;
  try {
    const before = sent, found = await ask(address("state"));
    if (!waiting && before === sent) await renew(found);
    if (lost) light(Object.keys(state.labels).length ? "saved" : "no marks yet", "good");
    lost = false;
  } catch (error) {
    lost = true;
    light(error.refused ? "a file cannot be read" : "sdor review does not answer", "bad");
    if (error.refused) failed(error.message);
  }
}
for (const [id, kind, does] of [
  ["video", "timeupdate", moves],
  ["video", "seeked", moves],
  ["video", "error", () => { $("fault").hidden = !$("video").src; }],
  ["video", "canplaythrough", () => at && suggested(at) && fetch(media("loop.mp4", suggested(at))).catch(() => {})],
  ["curve", "click", seek],
  ...["pointerdown", "pointermove", "pointerup"].map((kind) => ["frame", kind, drag]),
  ["keys", "click", (click) => { const one = click.target.closest("button"); if (one && at) DOES[one.value](); }],
  ["finish", "click", () => $("sure").showModal()],
  ["yes", "click", async () => (await send("/finish", {})) && text("say", $("learns").textContent)],
  ["again", "click", () => send("/learn", {})],
  ["copy", "click", () => navigator.clipboard?.writeText(state.command).then(() => text("copy", "Copied"))],
  ["camera", "change", () => { location.hash = url($("camera").value); refresh(); }],
]) $(id).addEventListener(kind, does);
addEventListener("keydown", (press) => {
  if (press.ctrlKey || press.metaKey || press.altKey || document.querySelector("dialog[open]")) return;
  const key = press.key === " " ? "space" : press.key.toLowerCase(), own = press.target.closest("button, select, summary");
  if (!at || (own && (own.matches("select") || ["space", "enter"].includes(key)))) return;
  const does = DOES[press.shiftKey && /^[a-z]$/.test(key) ? `shift+${key}` : key];
  if (!does || (press.repeat && !/^(arrowleft|arrowright|[jk,.])$/.test(key))) return;
  press.preventDefault();
  does();
});
// A button that was clicked takes Space and Enter from nothing.
addEventListener("click", (click) => { if (click.detail) click.target.closest("button, summary")?.blur(); });
addEventListener("beforeunload", (leave) => { if (waiting) leave.preventDefault(); });
for (const one of $("camera").options) if (`#${url(one.value)}` === location.hash) one.selected = true;
$("copy").hidden = !navigator.clipboard; // of a page that is not encrypted; the command is selected by a click
refresh();
setInterval(refresh, 1000);
