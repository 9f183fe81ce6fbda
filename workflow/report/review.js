"use strict";
const $ = (id) => document.getElementById(id);
const MOVES = matchMedia("(prefers-reduced-motion: no-preference)").matches;
const LABELS = { anomaly: "anomaly", normal: "normal", skip: "skipped" };
let list, state, at, view, curve, late, corner, sent = 0, waiting = false, masking = false, lost = true;
// One table: the keys, their buttons and the legend.
const KEYS = [
  { keys: ["a"], key: "A", name: "Anomaly", words: "an anomaly; then the next", does: () => mark("anomaly") },
  { keys: ["n"], key: "N", name: "Normal", words: "normal, a false alarm; then the next", does: () => mark("normal") },
  { keys: ["s"], key: "S", name: "Skip", words: "cannot be told; then the next", does: () => mark("skip") },
  { keys: ["u"], key: "U", name: "Undo", words: "take the last mark back, then the one before it", does: undo },
  { keys: ["shift+a"], key: "⇧ A", name: () => several("Anomaly"), words: "an anomaly, and so are similar moments", does: () => mark("anomaly", true) },
  { keys: ["shift+n"], key: "⇧ N", name: () => several("Normal"), words: "normal, and so are similar moments", does: () => mark("normal", true) },
  { keys: ["arrowleft", "k"], key: "← K", name: "Back", words: "the moment before", does: () => step(-1) },
  { keys: ["arrowright", "j"], key: "→ J", name: "Next", words: "the moment after", does: () => step(1) },
  { keys: [" "], key: "Space", name: "Play", words: "play, or stop", does: () => ($("video").paused ? play() : $("video").pause()) },
  { keys: [","], key: ",", name: "−1 frame", words: "a frame back", does: () => frame(-1) },
  { keys: ["."], key: ".", name: "+1 frame", words: "a frame on", does: () => frame(1) },
  { keys: ["h"], key: "H", name: "Heat", words: "show where it is unusual, or not", does: () => { $("heat").hidden = !$("heat").hidden; } },
  { keys: ["enter"], key: "Enter", name: "Full size", words: "10 s before and after it too, in full size", does: () => watch(view === "full" ? "loop" : "full") },
  { keys: ["m"], key: "M", name: "Mask", words: "drag a rectangle that is to be ignored", does: () => { masking = !masking; drawn(); } },
  { keys: ["escape"], key: "Esc", name: "Close", words: "back to the loop", does: () => { if ($("mask").hidden && view !== "loop") watch("loop"); masking = false; drawn(); } },
  { keys: ["?"], key: "?", name: "Keys", words: "this table", does: () => $("legend").showModal() },
];

const make = (tag, given = {}, ...within) => { const made = Object.assign(document.createElement(tag), given); made.append(...within); return made; };
const text = (id, words) => { if ($(id).textContent !== words) $(id).textContent = words; };
const address = (what) => `/${what}?camera=${encodeURIComponent($("camera").value)}`;
const media = (what, one = at) => `/media/${[list.camera, one.event, what].map(encodeURIComponent).join("/")}?${list.ranking}`;
const label = (one) => state.labels[one.event] || state.earlier[one.event] || one.marked;
const open = () => list.events.filter((one) => !label(one));
const alike = (one) => one.alike.map((place) => list.events[place]);
const similar = () => (at ? alike(at).filter((one) => !label(one)).length : 0), several = (word) => (list && !list.similar ? `${word}; similar: not known` : `${word} + ${similar()} similar`);
const about = (one) => [one.where, one.moved].filter(Boolean).join(" · ");
const play = () => $("video").play().catch(() => {});
const begins = () => (view.startsWith("w") ? curve.first + curve.step * Number(view.slice(1)) : curve.starts[view]);
const now = () => begins() + $("video").currentTime;
const frame = (by) => { $("video").pause(); $("video").currentTime = Math.max(0, $("video").currentTime + by / at.fps); };
const shape = (...size) => { $("video").style.aspectRatio = size.join("/"); }; // so that nothing below moves
const light = (words, kind) => { text("light", words); $("light").className = kind; };
async function ask(path, body) {
  const answer = await fetch(path, body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  const words = await answer.text();
  if (answer.ok) return JSON.parse(words);
  throw Object.assign(new Error(words.startsWith("{") ? JSON.parse(words).error : words.trim()), { refused: true });
}
// Sent until it is answered; what comes twice is one. Meanwhile nothing else is marked, as nobody would have seen it.
async function send(path, body) {
  if (waiting) return false;
  waiting = sent += 1;
  const slow = setTimeout(light, 150, "saving …", "wait"), given = { camera: list.camera, round: state.round, ...body };
  let done;
  while (done === undefined) {
    done = await ask(path, given).then(renew).then(() => true, (error) => {
      light(error.refused ? `not saved: ${error.message}` : "not saved yet: no answer, trying again …", "bad");
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
  const left = open(), inTurn = [...left.filter((one) => list.events.indexOf(one) > list.events.indexOf(after)), ...left];
  return inTurn.find((one) => !alike(one).some((other) => state.labels[other.event])) || inTurn[0];
}
async function mark(kind, several = false) {
  const one = at, count = several ? similar() : 0;
  const id = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  if (!(await send("/mark", { id, event: one.event, label: kind, similar: several, ranking: list.ranking }))) return;
  const next = suggested(one);
  show(next || one);
  text("say", `${one.name}: ${LABELS[kind]}${count ? `, and ${count} similar` : ""}. ${next ? next.name : "All are marked: finish the round"}`);
}
async function undo() {
  const before = state.labels;
  if (!state.undo || !(await send("/undo", { undo: state.undo }))) return;
  show(list.events.find((one) => before[one.event] !== state.labels[one.event]) || at);
  text("say", `Taken back. ${at.name}`);
}
function step(by) {
  show(list.events[list.events.indexOf(at) + by] || at);
  text("say", at.card.getAttribute("aria-label"));
}
function show(one) {
  at = one;
  curve = undefined;
  text("facts", one.where);
  named();
  drawn();
  for (const each of list.events) each.card.toggleAttribute("aria-current", each === one);
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
    video.addEventListener("loadedmetadata", () => { video.currentTime = second; shape(video.videoWidth, video.videoHeight); }, { once: true });
    if (MOVES) play(); else video.load();
  }, 120);
}
function named() {
  text("title", [at.name, at.moved, LABELS[label(at)]].filter(Boolean).join(" · "));
  for (const one of KEYS) one.button.firstChild.textContent = one.name.call ? one.name() : one.name;
}
// The line of the present, and the heat, which is that of the peak.
function moves() {
  if (!curve) return;
  const x = Math.min(Math.max((1000 * (now() - curve.first)) / Math.max(curve.seconds, 0.1), 0), 1000);
  for (const side of ["x1", "x2"]) $("head").setAttribute(side, x);
  $("heat").style.opacity = Math.min(Math.max(1.5 - Math.abs(now() - at.peak), 0.25), 1);
}
function seek(click) {
  if (!curve) return;
  const box = $("curve").getBoundingClientRect(), since = (curve.seconds * (click.clientX - box.left)) / box.width, within = curve.first + since - begins();
  if (within >= 0 && within <= $("video").duration) { $("video").currentTime = within; return; }
  const place = Math.min(Math.max(Math.floor(since / curve.step), 0), curve.windows - 1);
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
  const area = $("frame").getBoundingClientRect(), share = (value) => Math.min(Math.max(value, 0), 1);
  const here = [share((move.clientX - area.left) / area.width), share((move.clientY - area.top) / area.height)];
  if (move.type === "pointerdown") { corner = here; $("box").hidden = false; $("frame").setPointerCapture(move.pointerId); }
  const low = here.map((value, side) => Math.min(value, corner[side])), high = here.map((value, side) => Math.max(value, corner[side]));
  const [left, top, right, bottom] = [...low, ...high].map((value) => 100 * value);
  Object.assign($("box").style, { left: `${left}%`, top: `${top}%`, width: `${right - left}%`, height: `${bottom - top}%` });
  if (move.type !== "pointerup") return;
  const [x, y] = low.map((value, side) => Math.min(Math.floor(value * at.size[side]), at.size[side] - 1));
  const [width, height] = high.map((value, side) => Math.max(Math.ceil(value * at.size[side]) - [x, y][side], 1));
  corner = masking = undefined;
  drawn(`Put it into the scene file of ${list.camera}; sdor scene FOLDER prints one.`);
  text("yaml", `masks:\n  - {x: ${x}, y: ${y}, width: ${width}, height: ${height}}\n`);
  getSelection().selectAllChildren($("yaml"));
}
function cards() {
  $("queue").replaceChildren(...list.groups.map(([group, words]) => make("section", {}, make("h2", { textContent: words }), make("ol", {}, ...list.events.filter((one) => one.group === group).map((one) => {
    const spans = Object.entries({ rank: one.rank || "", moved: one.moved, label: "" }).map(([className, textContent]) => make("span", { className, textContent }));
    one.card = make("button", { type: "button", className: "card", onclick: () => show(one) }, make("img", { src: media("picture.jpg", one), loading: "lazy", alt: "" }), ...spans);
    return make("li", {}, one.card);
  })))));
  $("news").hidden = !list.news.length;
  $("news").firstChild.textContent = list.news[0];
  $("news").lastChild.replaceChildren(...list.news.slice(1).map((textContent) => make("li", { textContent })));
}
// What is there now, with marks that another page made, and a list that was made meanwhile.
async function renew(found) {
  if (found.camera !== $("camera").value) return;
  if (!list || list.camera !== found.camera || list.ranking !== found.ranking) {
    list = await ask(address("list"));
    at = undefined;
    cards();
  }
  state = found;
  for (const one of list.events) {
    const kind = label(one);
    if (one.card.dataset.label === kind) continue;
    one.card.dataset.label = kind;
    one.card.lastChild.textContent = LABELS[kind] || "";
    one.card.setAttribute("aria-label", `${one.name}, ${LABELS[kind] || "not marked"}, ${about(one)}`);
  }
  const own = list.events.filter((one) => !one.marked && !state.earlier[one.event]).map((one) => state.labels[one.event]);
  const count = (kind) => own.filter((one) => (kind ? one === kind : one)).length, skipped = count("skip") ? ` · ${count("skip")} skipped` : "";
  text("count", `${count()} of ${own.length} marked · ${count("anomaly")} anomalous${skipped} · round ${state.round}`);
  document.title = `${list.camera}: ${$("count").textContent}`;
  $("finish").disabled = !Object.values(state.labels).some((kind) => kind !== "skip");
  const run = state.run, ended = run && (run.failed ? `The run has failed: ${run.line}` : "The next list is not made yet:");
  $("learning").hidden = state.learnt && !(run && run.at_work);
  text("learns", run ? (run.at_work ? `The next list is being made: ${run.line}` : ended) : `Round ${state.round - 1} is finished. This makes the next list, in ${state.folder}:`);
  text("command", state.command);
  $("again").hidden = !run || run.at_work;
  if (at) named();
  else if (list.events.length) show(suggested() || list.events[0]);
  else text("title", "Nothing stands out");
}
async function refresh() {
  if (waiting || document.hidden) return;
  try {
    const before = sent, found = await ask(address("state"));
    if (!waiting && before === sent) await renew(found);
    if (lost) light("saved", "good");
    lost = false;
  } catch (error) {
    lost = true;
    light(error.refused ? error.message : "sdor review does not answer", "bad");
  }
}
for (const one of KEYS) {
  const key = () => make("kbd", { textContent: one.key });
  one.button = make("button", { type: "button", title: one.words, onclick: () => at && one.does() }, make("span"), " ", key());
  $("keys").append(one.button);
  $("legend").querySelector("table").append(make("tr", {}, make("th", { scope: "row" }, key()), make("td", { textContent: one.words })));
}
for (const [id, kind, does] of [
  ["video", "timeupdate", moves],
  ["video", "seeked", moves],
  ["video", "error", () => { $("fault").hidden = !$("video").src; }],
  ["video", "canplaythrough", () => { const next = suggested(at); if (next) fetch(media("loop.mp4", next)).catch(() => {}); }],
  ["curve", "click", seek],
  ...["pointerdown", "pointermove", "pointerup"].map((kind) => ["frame", kind, drag]),
  ["finish", "click", () => { text("asks", `Finish round ${state.round}? ${$("count").textContent}`); $("sure").showModal(); }],
  ["no", "click", () => $("sure").close()],
  ["yes", "click", () => { $("sure").close(); send("/finish", {}); }],
  ["again", "click", () => send("/learn", {})],
  ["copy", "click", () => { getSelection().selectAllChildren($("command")); navigator.clipboard?.writeText(state.command).then(() => text("copy", "Copied")); }],
  ["camera", "change", () => { location.hash = encodeURIComponent($("camera").value); refresh(); }],
]) $(id).addEventListener(kind, does);
addEventListener("keydown", (press) => {
  if (press.ctrlKey || press.metaKey || press.altKey || document.querySelector("dialog[open]")) return;
  const key = press.key.toLowerCase(), own = press.target.closest("button, select, summary");
  if (!at || (own && (own.matches("select") || [" ", "enter"].includes(key)))) return;
  const found = KEYS.find((one) => one.keys.includes(press.shiftKey && /^[a-z]$/.test(key) ? `shift+${key}` : key));
  if (!found || (press.repeat && !["arrowleft", "arrowright", "j", "k", ",", "."].includes(key))) return;
  press.preventDefault();
  found.does();
});
// A button that was clicked takes Space and Enter from nothing.
addEventListener("click", (click) => { if (click.detail) click.target.closest("button, summary")?.blur(); });
addEventListener("beforeunload", (leave) => { if (waiting) leave.preventDefault(); });
for (const one of $("camera").options) if (`#${encodeURIComponent(one.value)}` === location.hash) one.selected = true;
refresh();
setInterval(refresh, 1000);
