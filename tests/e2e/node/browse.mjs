// A browser's hands: takes steps as JSON on standard input, does them in headless Chromium and
// prints as JSON what it saw.
//
//   node browse.mjs --spki BASE64 [--resolve 'wiki.example.com=127.0.0.1'] < steps.json
//
// --spki names a public key (SHA-256 of its DER form) whose certificate is taken although its CA is
// unknown; every other certificate fault stays a fault. --resolve may be repeated.
//
// Steps, done in order on one page:
//   {"goto": URL}                      -> {status, url, title}
//   {"click": SELECTOR}                -> {url}
//   {"fill": SELECTOR, "with": TEXT}   -> {}
//   {"wait": SELECTOR, "text": TEXT}   -> {text}     until the element's text contains TEXT
//   {"read": SELECTOR}                 -> {text}
//   {"screenshot": PATH}               -> {}
//   {"where": true}                    -> {url}
//   {"file": SELECTOR, "with": TEXT}   -> {}         chooses a file of this content
//   {"view": "light"|"dark", "width": PIXELS} -> {}
//   {"look": SELECTOR}                 -> {ground, content}  its colour, and how wide the page is
//   {"press": KEYS}                    -> {}         such as "Control+i"
//   {"fetch": PATH}                    -> {status, text}     as the page's own script would
//   {"socket": PATH}                   -> {url}      until a WebSocket of this path has received a message
//
// Printed: {steps, console, failed, hosts}: an answer a step, the errors of the console with their URLs, the
// requests that got no answer, and each host:port that was asked for anything. A step that fails
// answers {error}, ends the list, and the exit code is 1.

import { parseArgs } from 'node:util';
import { text as all } from 'node:stream/consumers';

const DEADLINE_MS = 20_000;

const { chromium } = await import('playwright-core').catch(() => {
  console.error('playwright-core is missing: `make test-tools`, or `npm ci` in tests/e2e/node, brings it');
  process.exit(2);
});

const { values } = parseArgs({
  options: {
    spki: { type: 'string', multiple: true, default: [] },
    resolve: { type: 'string', multiple: true, default: [] },
  },
});
const steps = JSON.parse(await all(process.stdin));
const rules = values.resolve.map((pair) => `MAP ${pair.replace('=', ' ')}`).join(',');
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-proxy-server',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    `--ignore-certificate-errors-spki-list=${values.spki.join(',')}`,
    ...(rules ? [`--host-resolver-rules=${rules}`] : []),
  ],
});
const seen = { steps: [], console: [], failed: [], hosts: [] };
const hosts = new Set();
const sockets = new Map();
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(DEADLINE_MS);
  page.on('console', (message) =>
    message.type() === 'error' && seen.console.push(`${message.location().url}: ${message.text()}`));
  page.on('pageerror', (error) => seen.console.push(String(error)));
  page.on('requestfailed', (request) =>
    seen.failed.push(`${request.url()}: ${request.failure()?.errorText}`));
  const asked = (url) => hosts.add(new URL(url).host);
  page.on('request', (request) => /^(https?|wss?):/.test(request.url()) && asked(request.url()));
  page.on('websocket', (socket) => {
    asked(socket.url());
    sockets.set(socket, socket.waitForEvent('framereceived', { timeout: DEADLINE_MS }));
    // Whoever waits for it learns of its failure; of another's nobody need know.
    sockets.get(socket).catch(() => {});
  });
  for (const step of steps) {
    seen.steps.push(await take(page, step));
  }
} catch (error) {
  seen.steps.push({ error: error.message });
  process.exitCode = 1;
} finally {
  await browser.close();
}
seen.hosts = [...hosts].sort();
console.log(JSON.stringify(seen));

async function take(page, step) {
  if ('goto' in step) {
    const response = await page.goto(step.goto);
    return { status: response.status(), url: page.url(), title: await page.title() };
  }
  if ('click' in step) {
    await page.click(step.click);
    return { url: page.url() };
  }
  if ('fill' in step) {
    await page.fill(step.fill, step.with);
    return {};
  }
  if ('wait' in step) {
    const found = page.locator(step.wait).filter({ hasText: step.text }).first();
    await found.waitFor();
    return { text: await found.innerText() };
  }
  if ('read' in step) {
    return { text: await page.locator(step.read).first().innerText() };
  }
  if ('screenshot' in step) {
    await page.screenshot({ path: step.screenshot, fullPage: true });
    return {};
  }
  if ('where' in step) {
    return { url: page.url() };
  }
  if ('file' in step) {
    const file = { name: 'file.txt', mimeType: 'text/plain', buffer: Buffer.from(step.with) };
    await page.setInputFiles(step.file, file);
    return {};
  }
  if ('view' in step) {
    await page.emulateMedia({ colorScheme: step.view });
    await page.setViewportSize({ width: step.width, height: 640 });
    return {};
  }
  if ('look' in step) {
    return page.locator(step.look).evaluate((element) => ({
      ground: getComputedStyle(element).backgroundColor,
      content: document.documentElement.scrollWidth,
    }));
  }
  if ('press' in step) {
    await page.keyboard.press(step.press);
    return {};
  }
  if ('fetch' in step) {
    return page.evaluate(async (path) => {
      const response = await fetch(path);
      return { status: response.status, text: await response.text() };
    }, step.fetch);
  }
  if ('socket' in step) {
    const wanted = (socket) => new URL(socket.url()).pathname === step.socket;
    const socket = [...sockets.keys()].find(wanted) ?? (await page.waitForEvent('websocket', wanted));
    await sockets.get(socket);
    return { url: socket.url() };
  }
  throw new Error(`unknown step ${JSON.stringify(step)}`);
}
