"use strict";

const state = document.getElementById("state");
const beside = (name) => location.pathname.replace(/[^/]*$/, name);
const show = (list, line) => list.prepend(line + "\n");

const form = document.getElementById("ws");
if (form) {
  const log = document.getElementById("log");
  const message = document.getElementById("message");
  const scheme = location.protocol === "https:" ? "wss://" : "ws://";
  const socket = new WebSocket(scheme + location.host + beside("ws"), "echo");
  socket.onopen = () => {
    state.textContent = "open";
    socket.send("hello from the page");
  };
  socket.onmessage = (event) => show(log, "← " + event.data);
  socket.onclose = (event) => { state.textContent = "closed (" + event.code + ")"; };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (socket.readyState !== WebSocket.OPEN) return;
    show(log, "→ " + message.value);
    socket.send(message.value);
  });
}

const list = document.getElementById("events");
if (list) {
  const source = new EventSource(beside("events"));
  source.onopen = () => { state.textContent = "open"; };
  source.onerror = () => { state.textContent = "connecting"; };
  source.onmessage = (event) => show(list, event.lastEventId + "  " + event.data);
}
