// A browser's hands: takes steps as JSON on standard input, does them in headless Chromium and
// prints as JSON what it saw.
//
//   node browse.mjs --spki BASE64 [--resolve 'wiki.example.com=127.0.0.1'] < steps.json
//
// --spki names a public key (SHA-256 of its DER form) whose certificate is taken although its CA is
// unknown; every other certificate fault stays a fault. --resolve may be repeated, may have a `*` in
// the name, and a port behind the address.
//
// Steps, done in order in one tab, until a step turns to another of the same person:
//   {"goto": URL}                      -> {status, url, title}
//   {"again": TEXT}                    -> the same: the last page that was asked for whose URL has TEXT
//   {"back": true}, {"forward": true}  -> {url}
//   {"click": SELECTOR}                -> {url}
//   {"fill": SELECTOR, "with": TEXT}   -> {}
//   {"wait": SELECTOR, "text": TEXT}   -> {text}     until the element's text contains TEXT
//   {"read": SELECTOR}                 -> {text}
//   {"screenshot": PATH}               -> {}
//   {"where": true}                    -> {url}
//   {"arrive": URL}                    -> {url}      until the page has this one
//   {"file": SELECTOR, "with": TEXT}   -> {}         chooses a file of this content
//   {"view": "light"|"dark", "width": PIXELS} -> {}
//   {"look": SELECTOR}                 -> {ground, content}  its colour, and how wide the page is
//   {"press": KEYS}                    -> {}         such as "Control+i"
//   {"reach": SELECTOR}                -> {passed}   presses Tab until that has the focus: what had it
//                                                    on the way, and how wide the outline was
//   {"axe": TAGS}                      -> {rules, light, dark}  how many of axe-core's rules with these
//                                                    tags found something to look at, and in each
//                                                    colour scheme what is wrong
//   {"fetch": PATH}                    -> {status, text}     as the page's own script would
//   {"socket": PATH}                   -> {url}      until a WebSocket of this path has received a message
//   {"closed": PATH}                   -> {at}       until the last WebSocket of this path is closed:
//                                                    when it was, in ms
//   {"tabs": {NAME: URL, ...}}         -> {}         opens these, all at once, each in a tab of its own
//   {"tab": NAME}                      -> {url}      what follows is done there; the first is "first"
//   {"hold": GLOB}                     -> {}         what is loaded from such URLs does not come
//   {"run": SCRIPT}                    -> {value}    what the expression becomes in the page
// A step may have any other key, such as a name for the one who reads the answers.
//
// Printed: {steps, console, failed, hosts, mixed}: an answer a step, the errors of the console with their URLs,
// the requests that got no answer, each host:port that was asked for anything, and what a page over TLS
// wanted without it. A step that fails answers {error}, ends the list, and the exit code is 1.

import { parseArgs } from 'node:util';
import { readFile } from 'node:fs/promises';
import { text as all } from 'node:stream/consumers';

const DEADLINE_MS = 20_000;

// More than any page of ours has to go through.
const MOST_TAB_STOPS = 20;

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
const seen = { steps: [], console: [], failed: [], hosts: [], mixed: [] };
const hosts = new Set();
const mixed = new Set();
// A debugger's line to each tab.
const lines = [];
// Each with when it received its first message and when it was closed.
const sockets = new Map();
// The URLs of pages, in the order in which they were asked for.
const pages = [];
const tabs = new Map();
let page;
try {
  const context = await browser.newContext();
  context.setDefaultTimeout(DEADLINE_MS);
  page = await tab(context, 'first');
  for (const step of steps) {
    seen.steps.push(await take(context, step));
  }
  // What was seen before this is known when it is answered.
  await Promise.all(lines.map((line) => line.send('Audits.disable')));
} catch (error) {
  seen.steps.push({ error: error.message });
  process.exitCode = 1;
} finally {
  await browser.close();
}
seen.hosts = [...hosts].sort();
seen.mixed = [...mixed].sort();
console.log(JSON.stringify(seen));

// A new tab, and what is seen of it.
async function tab(context, name) {
  const page = await context.newPage();
  tabs.set(name, page);
  page.on('console', (message) =>
    message.type() === 'error' && seen.console.push(`${message.location().url}: ${message.text()}`));
  page.on('pageerror', (error) => seen.console.push(String(error)));
  page.on('requestfailed', (request) =>
    seen.failed.push(`${request.url()}: ${request.failure()?.errorText}`));
  const asked = (url) => /^(https?|wss?):/.test(url) && hosts.add(new URL(url).host);
  await watch(context, page, asked);
  page.on('request', (request) => {
    asked(request.url());
    if (request.isNavigationRequest()) {
      pages.push(request.url());
    }
  });
  page.on('websocket', (socket) => {
    asked(socket.url());
    const received = socket.waitForEvent('framereceived', { timeout: DEADLINE_MS });
    // Whoever waits for it learns of its failure; of another's nobody need know.
    received.catch(() => {});
    const closed = new Promise((resolve) => socket.on('close', () => resolve(Date.now())));
    sockets.set(socket, { received, closed });
  });
  return page;
}

// Sees what a page is not told of: questions that go before requests, and content without TLS.
async function watch(context, page, asked) {
  const line = await context.newCDPSession(page);
  line.on('Network.requestWillBeSent', ({ request }) => {
    asked(request.url);
    if ((request.mixedContentType ?? 'none') !== 'none') {
      mixed.add(`${request.url}: ${request.mixedContentType}`);
    }
  });
  line.on('Audits.issueAdded', ({ issue }) => {
    const told = issue.details.mixedContentIssueDetails;
    if (told) {
      mixed.add(`${told.insecureURL}: ${told.resolutionStatus}`);
    }
  });
  await line.send('Network.enable');
  await line.send('Audits.enable');
  lines.push(line);
}

async function goto(url) {
  const response = await page.goto(url);
  return { status: response.status(), url: page.url(), title: await page.title() };
}

async function take(context, step) {
  if ('goto' in step) {
    return goto(step.goto);
  }
  if ('again' in step) {
    const url = pages.findLast((url) => url.includes(step.again));
    if (!url) {
      throw new Error(`no page was asked for whose URL has ${step.again}`);
    }
    return goto(url);
  }
  if ('back' in step) {
    await page.goBack();
    return { url: page.url() };
  }
  if ('forward' in step) {
    await page.goForward();
    return { url: page.url() };
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
  if ('arrive' in step) {
    await page.waitForURL(step.arrive);
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
  if ('reach' in step) {
    return { passed: await reach(step.reach) };
  }
  if ('axe' in step) {
    return axe(step.axe);
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
    await sockets.get(socket).received;
    return { url: socket.url() };
  }
  if ('closed' in step) {
    const wanted = (socket) => new URL(socket.url()).pathname === step.closed;
    const socket = [...sockets.keys()].findLast(wanted);
    const late = new Promise((_, reject) => {
      setTimeout(reject, DEADLINE_MS, new Error(`${step.closed} is not closed`)).unref();
    });
    return { at: await Promise.race([sockets.get(socket).closed, late]) };
  }
  if ('tabs' in step) {
    const open = async ([name, url]) => (await tab(context, name)).goto(url);
    await Promise.all(Object.entries(step.tabs).map(open));
    return {};
  }
  if ('tab' in step) {
    page = tabs.get(step.tab);
    await page.bringToFront();
    return { url: page.url() };
  }
  if ('hold' in step) {
    await context.route(step.hold, (route) => route.abort());
    return {};
  }
  if ('run' in step) {
    return { value: await page.evaluate(step.run) };
  }
  throw new Error(`unknown step ${JSON.stringify(step)}`);
}

// Goes there as somebody without a mouse does.
async function reach(selector) {
  const passed = [];
  while (passed.length < MOST_TAB_STOPS) {
    await page.keyboard.press('Tab');
    const { is, ...focus } = await page.evaluate((selector) => {
      const element = document.activeElement;
      const { outlineStyle, outlineWidth } = getComputedStyle(element);
      return {
        element: element.outerHTML.slice(0, 80),
        outline: outlineStyle === 'none' ? 0 : parseFloat(outlineWidth),
        is: element.matches(selector),
      };
    }, selector);
    passed.push(focus);
    if (is) {
      return passed;
    }
  }
  throw new Error(`Tab does not lead to ${selector}: ${JSON.stringify(passed)}`);
}

// Has axe-core look at the page, by night and by day. As code of a debugger, no policy of the page
// keeps it out.
async function axe(tags) {
  const file = new URL('node_modules/axe-core/axe.min.js', import.meta.url);
  await page.evaluate(await readFile(file, 'utf8'));
  const seen = {};
  for (const colorScheme of ['dark', 'light']) {
    await page.emulateMedia({ colorScheme });
    const found = await page.evaluate((values) => window.axe.run({
      runOnly: { type: 'tag', values },
    }), tags);
    const faults = [...found.violations, ...found.incomplete];
    seen.rules = found.passes.length + faults.length;
    seen[colorScheme] = faults.flatMap(({ id, nodes }) => nodes.map(
      ({ target, failureSummary }) => `${id} at ${target.join(' ')}: ${failureSummary}`,
    ));
  }
  return seen;
}
