"use strict";
// The live page's edge: asks this page's own server, and shows what it says. All texts are set as texts, never as HTML.

const byId = (id) => document.getElementById(id);
const state = { fleets: [], chosen: null, shownAt: "" };
const rows = new Map();
const plot = { responsive: true, displayModeBar: false, scrollZoom: false, doubleClick: false };
const EVERY = 5000;
const FIND_FROM = 12;

const numbers = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const servers = (value) => (value === null ? "unknown" : numbers.format(value));
const words = (text) => text.replaceAll("_", " ");

async function look() {
  try {
    const response = await fetch("/live/state");
    if (!response.ok) throw new TypeError("not this page's server");
    byId("gone").hidden = true;
    show(await response.json());
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    byId("gone").hidden = false;
  } finally {
    setTimeout(look, EVERY);
  }
}

function show(now) {
  byId("away").hidden = !now.trouble;
  setText(byId("away"), now.trouble
    ? `No answer since ${clock(now.since)} UTC: ${now.trouble}. ${now.seen ? `What is shown is of ${clock(now.seen)} UTC. ` : ""}It is asked again every five seconds.` : "");
  setText(byId("about"), now.about);
  const special = now.fleets.filter((one) => one.state).length;
  setText(byId("seen"), now.seen
    ? `${now.fleets.length} fleet${now.fleets.length === 1 ? "" : "s"}, ${special ? `${special} not as usual` : "all as usual"}; seen ${clock(now.seen)} UTC.`
    : "Nothing was seen yet.");
  byId("left-out").hidden = !now.left_out;
  setText(byId("left-out"), now.left_out ? `${now.left_out} more fleets are not shown; an endpoint's are chosen with --fleet.` : "");
  state.fleets = now.fleets;
  byId("find-control").hidden = now.fleets.length < FIND_FROM;
  if (!state.fleets.some((one) => one.fleet === state.chosen)) state.chosen = state.fleets[0]?.fleet ?? null;
  list();
  if (now.seen !== state.shownAt) { state.shownAt = now.seen; choose(state.chosen); }
  document.body.dataset.seen = now.seen;
}

const clock = (text) => text.slice(11, 19);
function setText(place, text) { if (place.textContent !== text) place.textContent = text; }

// Rows stay the same elements, so that whoever is on one with the keyboard stays there.
function list() {
  const wanted = byId("find").value.trim().toLowerCase();
  const shown = state.fleets.filter((one) => one.fleet.toLowerCase().includes(wanted));
  const names = new Set(shown.map((one) => one.fleet));
  for (const [name, row] of rows) if (!names.has(name)) { row.remove(); rows.delete(name); }
  const body = byId("fleets"), focused = document.activeElement;
  let next = body.firstElementChild;
  for (const one of shown) {
    const row = rows.get(one.fleet) ?? newRow(one.fleet);
    fill(row, one);
    if (row === next) next = next.nextElementSibling; else body.insertBefore(row, next);
  }
  if (focused !== document.activeElement && body.contains(focused)) focused.focus();
}

const COLUMNS = ["state", "demand", "in use", "forecast", "size", "why this size"];

function newRow(name) {
  const row = document.createElement("tr"), head = document.createElement("th"), button = document.createElement("button");
  row.setAttribute("role", "row");
  head.scope = "row";
  head.setAttribute("role", "rowheader");
  button.type = "button";
  button.className = "name";
  button.textContent = name;
  button.addEventListener("click", () => choose(name, true));
  head.append(button);
  row.append(head);
  for (const label of COLUMNS) {
    const cell = document.createElement("td");
    cell.setAttribute("role", "cell");
    cell.dataset.label = label;
    if (label === "state" || label === "why this size") cell.className = "words";
    row.append(cell);
  }
  row.shown = [];
  rows.set(name, row);
  return row;
}

function fill(row, one) {
  const values = [one.state ? `▲ ${one.state}` : "as usual", servers(one.demand), servers(one.in_use), servers(one.forecast), servers(one.size), words(one.reason) || "not told"];
  values.forEach((value, at) => { if (row.shown[at] !== value) row.cells[at + 1].textContent = value; });
  row.shown = values;
  mark(row, one.fleet === state.chosen);
}

function mark(row, chosen) {
  if (row.chosen === chosen) return;
  row.chosen = chosen;
  row.classList.toggle("own", chosen);
  row.firstChild.firstChild.setAttribute("aria-pressed", String(chosen));
}

async function choose(name, byHand) {
  state.chosen = name;
  byId("course").hidden = name === null;
  if (name === null) return;
  for (const [fleet, row] of rows) mark(row, fleet === name);
  const one = state.fleets.find((fleet) => fleet.fleet === name);
  setText(byId("chosen"), name);
  if (byId("notes").textContent !== one.notes.join("")) {
    byId("notes").replaceChildren(...one.notes.map((note) => Object.assign(document.createElement("li"), { textContent: note })));
  }
  if (byHand) byId("course").scrollIntoView({ block: "nearest" });
  await draw(name);
}

async function draw(name) {
  const figure = byId("figure");
  let response;
  try {
    response = await fetch(`/live/course?${new URLSearchParams({ fleet: name, width: Math.round(figure.clientWidth || 360) })}`);
  } catch { return; }  // the next look says that the server is gone
  const body = await response.json();
  if (name !== state.chosen) return;
  setText(byId("course-error"), response.ok ? "" : `The course of ${name} is not known: ${body.message}.`);
  if (!response.ok) return;
  for (const trace of body.data) trace.x ??= body.times;
  await Plotly.react(figure, body.data, body.layout, plot);
  figure.setAttribute("role", "img");
  figure.setAttribute("aria-label", `Size, forecast and demand of ${name} in the last hours; the table above has the numbers of now.`);
  document.body.dataset.drawn = name;
}

byId("find").addEventListener("input", list);
look();
