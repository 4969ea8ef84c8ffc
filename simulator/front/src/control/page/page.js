// Keeps the status page true: newer renderings of the tables in place, rates out of counters, the
// event stream, and what the controls say sent to the control endpoint.
"use strict";

const REFRESH_MS = 2000, AFTER_EVENT_MS = 250, EVENTS_KEPT = 400;
const find = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// ---- requests

function notice(text) {
  const place = find("#notice");
  place.textContent = text;
  place.hidden = !text;
}

async function send(method, path, body) {
  notice("");
  try {
    const answer = await fetch(path, body ? { method, body } : { method });
    if (!answer.ok) {
      const refused = await answer.json();
      notice(`${method} ${path}: ${refused.error}\nwhere: ${refused.where}\ncure: ${refused.cure}`);
    }
  } catch (error) {
    notice(`${method} ${path}: ${error.message}`);
  }
  await refresh(true);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-method]");
  if (button) send(button.dataset.method, button.dataset.path, button.dataset.body === "null" ? undefined : button.dataset.body);
});

document.addEventListener("change", (event) => {
  const select = event.target;
  if (select.name === "preset") select.form.elements.fault.value = select.value;
  if (!select.matches("select[data-method]")) return;
  if (select.value === "null") return;
  if (select.value) send(select.dataset.method, select.dataset.path, select.value);
  else askOther(select);
});

document.addEventListener("submit", (event) => {
  event.preventDefault();
  const form = event.target, field = (name) => form.elements[name].value.trim();
  if (form.dataset.kind === "json") send(form.dataset.method, form.dataset.path, field("body"));
  if (form.dataset.kind === "other") {
    send(form.dataset.method, form.dataset.path, field("body"));
    find("#other").close();
  }
  if (form.dataset.kind === "api-rule") addRule(field);
});

function addRule(field) {
  let fault;
  try { fault = JSON.parse(field("fault")); }
  catch (error) { return notice(`The fault is no JSON: ${error.message}`); }
  const rule = { method: field("method"), path: field("path"), operation: field("operation"), fault };
  for (const name of ["skip", "count", "probability", "after_ms"])
    if (field(name) !== "") rule[name] = Number(field(name));
  send("POST", "/sim/v1/api/faults", JSON.stringify(rule));
}

function askOther(select) {
  const form = find("#other form");
  form.dataset.method = select.dataset.method;
  form.dataset.path = select.dataset.path;
  find("#other-target").textContent = `${select.dataset.method} ${select.dataset.path}`;
  form.elements.body.value = JSON.stringify(JSON.parse(select.selectedOptions[0].dataset.now), null, 1);
  find("#other").showModal();
}
find("#other-cancel").addEventListener("click", () => find("#other").close());
find("#other").addEventListener("close", () => refresh(true));

// ---- tables

// Puts `fresh` in place of `old` piece by piece, so that a menu that is open stays open; tells which
// of the two is there afterwards.
function replace(old, fresh) {
  if (old.isEqualNode(fresh)) return old;
  const rows = old.tagName === "TBODY" && fresh.tagName === "TBODY";
  if (rows) {
    const known = new Map(all(":scope > tr", old).map((row) => [row.dataset.key, row]));
    const wanted = all(":scope > tr", fresh).map((row) => {
      const there = known.get(row.dataset.key);
      return there ? replace(there, row) : row;
    });
    if (wanted.some((row, place) => old.children[place] !== row) || old.children.length !== wanted.length)
      old.replaceChildren(...wanted);
    return old;
  }
  const alike = old.tagName === fresh.tagName && old.childElementCount === fresh.childElementCount
    && fresh.childElementCount > 0 && [...old.childNodes].length === [...fresh.childNodes].length
    && [...old.children].every((child, place) => child.tagName === fresh.children[place].tagName);
  if (!alike) {
    if (old.contains(document.activeElement) && old.matches("select, td, label, tr")) return old;
    old.replaceWith(fresh);
    return fresh;
  }
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  if (old.tagName === "SELECT") {
    if (old === document.activeElement) return old;
    old.replaceWith(fresh);
    return fresh;
  }
  [...fresh.childNodes].forEach((child, place) => {
    const there = old.childNodes[place];
    if (child.nodeType === Node.ELEMENT_NODE && there.nodeType === Node.ELEMENT_NODE) replace(there, child);
    else if (there.textContent !== child.textContent) there.textContent = child.textContent;
  });
  return old;
}

let asked = false, again = false;
async function refresh(now) {
  if (now && document.activeElement?.matches("select")) document.activeElement.blur();
  if (asked) { again = true; return; }
  asked = true;
  try {
    const answer = await fetch("/status/sections");
    if (answer.ok) {
      const fresh = document.createElement("main");
      fresh.innerHTML = await answer.text(); // the server's own rendering, escaped there
      fresh.id = "sections";
      rates(fresh, performance.now());
      replace(find("#sections"), fresh);
    }
  } catch { /* the live mark tells */ }
  asked = false;
  if (again) { again = false; refresh(false); }
}

const counters = new Map();
function rates(root, now) {
  for (const cell of all("[data-counter]", root)) {
    const row = cell.closest("tr");
    const key = [cell.closest("section").id, row.dataset.key, [...row.children].indexOf(cell)].join(" ");
    const value = Number(cell.dataset.value), before = counters.get(key);
    if (before && now - before.at < 1500) { cell.textContent = before.text; continue; }
    const perSecond = before && value >= before.value ? (value - before.value) * 1000 / (now - before.at) : 0;
    const text = cell.dataset.counter === "bytes" ? `${size(perSecond)}/s` : `${perSecond.toFixed(perSecond < 10 ? 1 : 0)}/s`;
    counters.set(key, { value, at: now, text });
    cell.textContent = text;
  }
}

function size(bytes) {
  const units = ["B", "KiB", "MiB", "GiB"];
  let unit = 0;
  while (bytes >= 1024 && unit < units.length - 1) { bytes /= 1024; unit += 1; }
  return `${bytes.toFixed(unit && bytes < 100 ? 1 : 0)} ${units[unit]}`;
}

// ---- events

const list = find("#event-list"), filter = find("#event-filter"), hold = find("#event-pause");
const short = (value) => typeof value === "string" ? value : JSON.stringify(value);

function show(event) {
  const line = document.createElement("li"), time = document.createElement("time");
  const kind = document.createElement("b"), fields = document.createElement("span");
  time.dateTime = event.at;
  time.textContent = event.at.slice(11, 23);
  kind.textContent = event.kind;
  const plain = event.fields && typeof event.fields === "object" && !Array.isArray(event.fields);
  fields.textContent = plain
    ? Object.entries(event.fields).filter(([, value]) => value !== "").map(([name, value]) => `${name}=${short(value)}`).join(" ") : short(event.fields);
  line.append(time, " ", kind, " ", fields);
  line.hidden = !matches(line);
  mark(line);
  list.prepend(line);
  while (list.children.length > EVENTS_KEPT) list.lastChild.remove();
}

function mark(line) {
  if (/fault|refused|lost|cut|status=[45]|error=(?!null)/.test(line.textContent)) line.dataset.ill = "yes";
}
const matches = (line) => line.textContent.toLowerCase().includes(filter.value.toLowerCase());
filter.addEventListener("input", () => all("li", list).forEach((line) => { line.hidden = !matches(line); }));
all("li", list).forEach(mark);

let held = [], timer = 0;
hold.addEventListener("change", () => { if (!hold.checked) { held.forEach(show); held = []; } });

const stream = new EventSource(`/sim/v1/events/stream?since=${find("#events").dataset.next}`);
function live(on) {
  find("#live").dataset.live = on ? "yes" : "no";
  find("#live").textContent = on ? "live" : "not live";
}
stream.onopen = () => live(true);
stream.onerror = () => live(false);
stream.onmessage = (message) => {
  const event = JSON.parse(message.data);
  if (hold.checked) { held.push(event); held = held.slice(-EVENTS_KEPT); } else show(event);
  clearTimeout(timer);
  timer = setTimeout(refresh, AFTER_EVENT_MS);
};
setInterval(() => { if (!document.hidden) refresh(false); }, REFRESH_MS);
rates(document, performance.now());
