"use strict";
// The page's edge: reads the controls, asks the server, draws what it answers. Decides nothing itself.

const DAY = 86400;
const byId = (id) => document.getElementById(id);
const form = byId("controls");
const tab = Math.random().toString(36).slice(2);
const state = { file: document.body.dataset.file, view: null, span: null, worst: null, turn: 0, asking: null };

const plot = { responsive: true, displayModeBar: false, scrollZoom: false, doubleClick: false };

function question() {
  const asked = new URLSearchParams({ file: state.file });
  for (const field of form.elements) {
    if (!field.name || field.type === "file") continue;
    if (field.type === "checkbox") asked.set(field.name, field.checked ? "on" : "off");
    else if (field.value !== "") asked.set(field.name, field.value);
  }
  return asked;
}

function show(message, field) {
  document.querySelectorAll(".error").forEach((place) => { place.textContent = ""; });
  form.querySelectorAll("[aria-invalid]").forEach((one) => one.removeAttribute("aria-invalid"));
  if (!message) return;
  byId(field)?.setAttribute("aria-invalid", "true");
  const place = byId(`${field}-error`) || byId("file-error");
  place.textContent = message;
}

function gone(is) {
  byId("gone").hidden = !is;
  if (is && !state.waiting) {
    state.waiting = setInterval(async () => {
      try {
        if (!(await fetch("/alive")).ok) return;
      } catch { return; }
      clearInterval(state.waiting);
      state.waiting = null;
      gone(false);
      ask();
    }, 2000);
  }
}

async function ask() {
  const turn = ++state.turn;
  state.asking?.abort();
  state.asking = new AbortController();
  const asked = question();
  asked.set("tab", tab);
  asked.set("turn", String(turn));
  asked.set("width", String(Math.round(byId("figure").clientWidth || 360)));
  if (state.view) {
    asked.set("from", state.view[0]);
    asked.set("to", state.view[1]);
  }
  document.body.classList.add("busy");
  const progress = setInterval(() => tellWork(turn), 1000);
  try {
    const response = await fetch(`/answer?${asked}`, { signal: state.asking.signal });
    const body = await response.json();
    if (turn !== state.turn) return;
    if (!response.ok) {
      if (response.status !== 409) { show(body.message, body.field); byId("verdict").textContent = body.message; }
    } else {
      show();
      await draw(body);
    }
  } catch (error) {
    if (error.name !== "AbortError" && turn === state.turn) {
      if (error instanceof TypeError) gone(true); else throw error;
    }
  } finally {
    clearInterval(progress);
    if (turn === state.turn) {
      document.body.classList.remove("busy");
      byId("work").hidden = true;
      document.body.dataset.drawn = String(turn);
    }
  }
}

async function tellWork(turn) {
  try {
    const { done } = await (await fetch(`/work?tab=${tab}`)).json();
    if (turn !== state.turn || !document.body.classList.contains("busy")) return;
    byId("work").hidden = false;
    byId("work").textContent = `${done.toLocaleString("en")} moments decided so far…`;
  } catch { /* the question itself tells that the server is gone */ }
}

async function draw(body) {
  state.span = body.span;
  state.worst = body.worst;
  byId("verdict").textContent = body.verdict;
  byId("tables").innerHTML = body.tables;  // from this page's own server, which escapes what files say
  byId("worst").textContent = `Worst day, ${body.worst_words}`;
  byId("shown").textContent = `${body.fleet} over time`;
  chooseFleets(body.fleets, body.fleet);
  const ran = [...byId("baseline").options].find((one) => one.value === "what ran");
  ran.disabled = !body.ran;
  const whole = !state.view;
  byId("whole").disabled = byId("earlier").disabled = byId("later").disabled = byId("farther").disabled = whole;
  for (const [id, path] of [["report", "report.html"], ["env", "autopilot.env"], ["yaml", "client.yaml"], ["sizes", "sizes.csv"]]) {
    byId(id).href = `/${path}?${question()}`;
  }
  const figure = byId("figure");
  for (const trace of body.figure.data) trace.x ??= body.figure.times;
  await Plotly.react(figure, body.figure.data, body.figure.layout, plot);
  figure.setAttribute("role", "img");
  figure.setAttribute("aria-label", `Demand and servers of ${body.fleet}. ${body.verdict}`);
  if (!figure.listens) {
    figure.listens = true;
    figure.on("plotly_relayout", (change) => {
      const from = change["xaxis.range[0]"], to = change["xaxis.range[1]"];
      if (from && to) look([seconds(from), seconds(to)]);
    });
  }
}

function chooseFleets(names, chosen) {
  const select = byId("fleet");
  byId("fleet-control").hidden = names.length < 2;
  if ([...select.options].map((one) => one.value).join("\n") !== names.join("\n")) {
    select.replaceChildren(...names.map((name) => new Option(name, name)));
  }
  select.value = chosen;
}

const seconds = (text) => Date.parse(`${String(text).replace(" ", "T")}Z`) / 1000;

function look(view) {
  state.view = view;
  ask();
}

function move(share, scale) {
  const [from, to] = state.view || state.span;
  const middle = (from + to) / 2 + share * (to - from), half = Math.max(scale * (to - from), 3600) / 2;
  const whole = scale > 1 && 2 * half >= state.span[1] - state.span[0];
  look(whole ? null : [middle - half, middle + half]);
}

function tellValue(field) {
  const output = byId(`${field.id}-value`);
  if (output) output.textContent = field.value;
}

function leadsInOrder(changed) {
  const shortest = byId("shortest"), longest = byId("longest");
  if (Number(shortest.value) <= Number(longest.value)) return;
  const other = changed === shortest ? longest : shortest;
  other.value = changed.value;
  tellValue(other);
}

async function take(file) {
  const body = new FormData();
  body.append("file", file);
  byId("verdict").textContent = `Reading ${file.name}…`;
  try {
    const response = await fetch("/files", { method: "POST", body });
    const said = await response.json();
    if (!response.ok) {
      show(said.message, "file");
      byId("verdict").textContent = `${file.name} cannot be played. What is shown below is the file before it.`;
      document.body.dataset.refused = file.name;
      return;
    }
    open(said.file);
  } catch (error) {
    if (error instanceof TypeError) gone(true); else throw error;
  }
}

function open(file) {
  state.file = file;
  state.view = null;
  byId("fleet").replaceChildren();
  byId("until").value = "";
  if (byId("baseline").value === "what ran") byId("baseline").selectedIndex = 0;
  ask();
}

let later;
form.addEventListener("input", (event) => {
  const field = event.target;
  if (field.type === "file") return;
  tellValue(field);
  leadsInOrder(field);
  if (["days", "until", "fleet"].includes(field.id)) state.view = null;
  clearTimeout(later);
  later = setTimeout(ask, 120);
});
form.addEventListener("submit", (event) => event.preventDefault());
byId("file").addEventListener("change", (event) => { if (event.target.files[0]) take(event.target.files[0]); });
byId("sample").addEventListener("click", () => open("sample"));
byId("whole").addEventListener("click", () => look(null));
byId("worst").addEventListener("click", () => { if (state.worst) look(state.worst); });
byId("earlier").addEventListener("click", () => move(-0.5, 1));
byId("later").addEventListener("click", () => move(0.5, 1));
byId("closer").addEventListener("click", () => { if (state.span) move(0, 0.5); });
byId("farther").addEventListener("click", () => move(0, 2));
document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dropping"); });
document.addEventListener("dragleave", () => document.body.classList.remove("dropping"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
});
ask();
