// Playwright's Chromium (Debian's) for the tests of the console.
//
//   const { page, problems, finish } = await start({ width: 360, dark: true, auth: { token } });
//   ... page is Playwright's; problems are what the browser complained about (refusals by status are not among them)
//   await axe(page);         // fails with what axe-core finds
//   await finish();          // closes; fails when there were problems
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);
const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

export async function start({ url = process.env.SERVER_URL, width = 1280, height = 900, dark = false, auth } = {}) {
    const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
    const context = await browser.newContext({ viewport: { width, height }, colorScheme: dark ? 'dark' : 'light', permissions: ['clipboard-read', 'clipboard-write'], bypassCSP: false });
    const page = await context.newPage(), problems = [];
    page.setDefaultTimeout(10000);
    // Playwright's own one needs eval, which the page's policy forbids.
    page.waitForFunction = (test, arg, { timeout = 10000 } = {}) => until(String(test), () => page.evaluate(test, arg), timeout);
    page.on('pageerror', e => problems.push(e.stack));
    page.on('console', m => {
        if (m.type() === 'error' && !/status of (4\d\d|503)|net::ERR/.test(m.text())) problems.push(m.text());
    });
    if (auth) await page.addInitScript(a => { sessionStorage['pghttpd.auth'] ??= JSON.stringify(a); }, auth);
    await page.goto(url + '/');
    await page.waitForSelector('html[data-state=started]');
    return { page, problems, async finish() {
        await browser.close();
        assert.deepEqual(problems, []);
    } };
}

export async function axe(page) {
    // into the page past its CSP, by the debugger
    await page.evaluate(axeSource);
    const found = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
    assert.deepEqual(found.violations.map(v => `${v.id}: ${v.help}: ${v.nodes.map(n => n.html.slice(0, 160)).join(' | ')}`), []);
}

// A token signed with the demo's secret.
export function token(claims) {
    const b = s => Buffer.from(s).toString('base64url');
    const head = b('{"alg":"HS256"}') + '.' + b(JSON.stringify(claims));
    return head + '.' + createHmac('sha256', 'a demo secret of more than 32 characters').update(head).digest('base64url');
}

export async function until(what, test, ms = 10000) {
    for (const end = Date.now() + ms; ;) {
        const value = await test();
        if (value) return value;
        if (Date.now() > end) throw new Error('never so: ' + what);
        await new Promise(resolve => setTimeout(resolve, 50));
    }
}
