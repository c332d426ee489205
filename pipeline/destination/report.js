"use strict";
// The gallery of a report: results in pages. Media are loaded only when a person asks for them.
// Texts from files are inserted as text, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const gallery = document.getElementById("gallery");
const PER_PAGE = 24;
const orders = {
  "by name": (a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0),
  "slowest first": (a, b) => b.work - a.work,
  "longest first": (a, b) => b.duration - a.duration,
};
let page = 0;
let matches = data.items;

// An HTML element with properties and children.
function newElement(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// The value of a color variable of the style sheet.
function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// Draws a result: levels as bars, rhythm as a line, speech as a band at the bottom, cuts as upright lines, and a mark at `time` seconds if given.
function drawStrip(canvas, item, time) {
  const scale = window.devicePixelRatio || 1;
  canvas.width = canvas.clientWidth * scale;
  canvas.height = canvas.clientHeight * scale;
  const context = canvas.getContext("2d");
  const { width, height } = canvas;
  const levels = item.levels || [];
  context.fillStyle = color("--music");
  levels.forEach((level, i) => {
    const tall = Math.max(1, (level / 100) * height);
    context.fillRect((i / levels.length) * width, (height - tall) / 2, Math.max(1, width / levels.length - 0.5), tall);
  });
  context.fillStyle = color("--speech");
  for (const [begin, end] of item.speech || []) {
    context.fillRect((begin / item.duration) * width, height - 5 * scale, ((end - begin) / item.duration) * width, 5 * scale);
  }
  const rhythm = item.rhythm || [];
  context.strokeStyle = color("--rhythm");
  context.lineWidth = 2 * scale;
  context.beginPath();
  rhythm.forEach((value, i) => context.lineTo(((i + 0.5) / item.duration) * width, height - 2 - (value / 100) * (height - 4)));
  context.stroke();
  context.fillStyle = color("--cut");
  for (const cut of item.cuts || []) context.fillRect((cut / item.duration) * width - scale, 0, 2 * scale, height);
  if (time !== undefined) {
    context.fillStyle = color("--ink");
    context.fillRect((time / item.duration) * width, 0, scale, height);
  }
}

// The card of one result; the video is created when its button is pressed.
function newCard(item) {
  const box = newElement("article", { className: "card" }, newElement("h3", { textContent: item.name }));
  if (item.note) box.append(newElement("div", { className: "error", textContent: item.note }));
  if (item.error) box.append(newElement("div", { className: "error", textContent: item.error }));
  if (item.state !== "done") return box;
  const canvas = newElement("canvas", { title: "waveform of the music; rhythm asked for (line); cuts (upright); speech of the original (band)" });
  const play = newElement("button", { type: "button", className: "play", textContent: "watch and hear" });
  const [video, ...others] = item.links;
  play.disabled = !video;
  let player = null;
  play.addEventListener("click", () => {
    player = newElement("video", { controls: true, src: video, preload: "auto" });
    player.addEventListener("timeupdate", () => drawStrip(canvas, item, player.currentTime));
    player.addEventListener("error", () => play.replaceWith(newElement("div", { className: "error", textContent: "cannot be played from here" })));
    box.insertBefore(player, canvas);
    play.hidden = true;
    player.play().catch(() => {});
  });
  canvas.addEventListener("click", (event) => {
    if (player) player.currentTime = (event.offsetX / canvas.clientWidth) * item.duration;
  });
  const links = newElement("span");
  for (const link of others) links.append(" ", newElement("a", { href: link, textContent: link.match(/(\.(mix|original))?\.[^.]*$/)[0] }));
  const summary = `${item.duration.toFixed(1)} s, ${(item.cuts || []).length} cuts, ${item.work.toFixed(1)} s of work${item.loudness ? `, ${item.loudness}` : ""}`;
  box.append(canvas, newElement("p", { textContent: summary }), play, links);
  requestAnimationFrame(() => drawStrip(canvas, item));
  return box;
}

const searchBox = newElement("input", { type: "search", placeholder: "name or error", ariaLabel: "filter" });
const stateChoice = newElement("select", { ariaLabel: "state" });
for (const name of ["all", "done", "failed"]) stateChoice.append(newElement("option", { value: name, textContent: name }));
const orderChoice = newElement("select", { ariaLabel: "order" });
for (const name of Object.keys(orders)) orderChoice.append(newElement("option", { value: name, textContent: name }));
const back = newElement("button", { type: "button", textContent: "back", className: "back" });
const next = newElement("button", { type: "button", textContent: "next", className: "next" });
const pagePosition = newElement("span", { className: "place" });
const cards = newElement("div", { className: "cards" });

// Shows the current page of the results that match.
function showPage() {
  const pages = Math.max(1, Math.ceil(matches.length / PER_PAGE));
  page = Math.min(Math.max(page, 0), pages - 1);
  cards.replaceChildren(...matches.slice(page * PER_PAGE, (page + 1) * PER_PAGE).map(newCard));
  pagePosition.textContent = `${matches.length} of ${data.items.length}, page ${page + 1} of ${pages}`;
  back.disabled = page === 0;
  next.disabled = page === pages - 1;
}

// Filters and sorts the results by the form, and shows the first page.
function applyFilters() {
  const wanted = searchBox.value.toLowerCase();
  matches = data.items
    .filter((item) => stateChoice.value === "all" || item.state === stateChoice.value)
    .filter((item) => `${item.name} ${item.error}`.toLowerCase().includes(wanted))
    .sort(orders[orderChoice.value]);
  page = 0;
  showPage();
}

if (gallery) {
  const form = newElement("form", {}, searchBox, stateChoice, orderChoice, back, next, pagePosition);
  form.addEventListener("submit", (event) => event.preventDefault());
  searchBox.addEventListener("input", applyFilters);
  stateChoice.addEventListener("change", applyFilters);
  orderChoice.addEventListener("change", applyFilters);
  back.addEventListener("click", () => { page -= 1; showPage(); });
  next.addEventListener("click", () => { page += 1; showPage(); });
  if (!data.reachable) gallery.append(newElement("p", { textContent: "The results cannot be played from here: open the page beside them." }));
  gallery.append(form, cards);
  showPage();
}
