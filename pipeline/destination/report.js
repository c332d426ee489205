"use strict";
// The gallery: results by pages, media loaded only when somebody wants them. Text goes in as text, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const gallery = document.getElementById("gallery");
const PER_PAGE = 24;
const orders = {
  "by name": (a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0),
  "slowest first": (a, b) => b.work - a.work,
  "longest first": (a, b) => b.duration - a.duration,
};
let page = 0;
let found = data.items;

function made(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function drawStrip(canvas, item, at) {
  const scale = window.devicePixelRatio || 1;
  canvas.width = canvas.clientWidth * scale;
  canvas.height = canvas.clientHeight * scale;
  const pen = canvas.getContext("2d");
  const { width, height } = canvas;
  const levels = item.levels || [];
  pen.fillStyle = color("--music");
  levels.forEach((level, i) => {
    const tall = Math.max(1, (level / 100) * height);
    pen.fillRect((i / levels.length) * width, (height - tall) / 2, Math.max(1, width / levels.length - 0.5), tall);
  });
  const rhythm = item.rhythm || [];
  pen.strokeStyle = color("--rhythm");
  pen.lineWidth = 2 * scale;
  pen.beginPath();
  rhythm.forEach((value, i) => pen.lineTo(((i + 0.5) / item.duration) * width, height - 2 - (value / 100) * (height - 4)));
  pen.stroke();
  pen.fillStyle = color("--cut");
  for (const cut of item.cuts || []) pen.fillRect((cut / item.duration) * width - scale, 0, 2 * scale, height);
  if (at !== undefined) {
    pen.fillStyle = color("--ink");
    pen.fillRect((at / item.duration) * width, 0, scale, height);
  }
}

function card(item) {
  const box = made("article", { className: "card" }, made("h3", { textContent: item.name }));
  if (item.error) box.append(made("div", { className: "error", textContent: item.error }));
  if (item.state !== "done") return box;
  const canvas = made("canvas", { title: "waveform; rhythm asked for (line); cuts (upright)" });
  const play = made("button", { type: "button", className: "play", textContent: "watch and hear" });
  const [video, ...others] = item.links;
  play.disabled = !video;
  let player = null;
  play.addEventListener("click", () => {
    player = made("video", { controls: true, src: video, preload: "auto" });
    player.addEventListener("timeupdate", () => drawStrip(canvas, item, player.currentTime));
    player.addEventListener("error", () => play.replaceWith(made("div", { className: "error", textContent: "cannot be played from here" })));
    box.insertBefore(player, canvas);
    play.hidden = true;
    player.play().catch(() => {});
  });
  canvas.addEventListener("click", (event) => {
    if (player) player.currentTime = (event.offsetX / canvas.clientWidth) * item.duration;
  });
  const links = made("span");
  for (const link of others) links.append(" ", made("a", { href: link, textContent: link.slice(link.lastIndexOf(".")) }));
  const facts = `${item.duration.toFixed(1)} s, ${(item.cuts || []).length} cuts, ${item.work.toFixed(1)} s of work`;
  box.append(canvas, made("p", { textContent: facts }), play, links);
  requestAnimationFrame(() => drawStrip(canvas, item));
  return box;
}

const words = made("input", { type: "search", placeholder: "name or error", ariaLabel: "filter" });
const state = made("select", { ariaLabel: "state" });
for (const name of ["all", "done", "failed"]) state.append(made("option", { value: name, textContent: name }));
const order = made("select", { ariaLabel: "order" });
for (const name of Object.keys(orders)) order.append(made("option", { value: name, textContent: name }));
const back = made("button", { type: "button", textContent: "back", className: "back" });
const next = made("button", { type: "button", textContent: "next", className: "next" });
const place = made("span", { className: "place" });
const cards = made("div", { className: "cards" });

function show() {
  const pages = Math.max(1, Math.ceil(found.length / PER_PAGE));
  page = Math.min(Math.max(page, 0), pages - 1);
  cards.replaceChildren(...found.slice(page * PER_PAGE, (page + 1) * PER_PAGE).map(card));
  place.textContent = `${found.length} of ${data.items.length}, page ${page + 1} of ${pages}`;
  back.disabled = page === 0;
  next.disabled = page === pages - 1;
}

function choose() {
  const wanted = words.value.toLowerCase();
  found = data.items
    .filter((item) => state.value === "all" || item.state === state.value)
    .filter((item) => `${item.name} ${item.error}`.toLowerCase().includes(wanted))
    .sort(orders[order.value]);
  page = 0;
  show();
}

if (gallery) {
  const form = made("form", {}, words, state, order, back, next, place);
  form.addEventListener("submit", (event) => event.preventDefault());
  words.addEventListener("input", choose);
  state.addEventListener("change", choose);
  order.addEventListener("change", choose);
  back.addEventListener("click", () => { page -= 1; show(); });
  next.addEventListener("click", () => { page += 1; show(); });
  if (!data.reachable) gallery.append(made("p", { textContent: "The results cannot be played from here: open the page beside them." }));
  gallery.append(form, cards);
  show();
}
