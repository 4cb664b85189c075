// A headless Chromium for tests, spoken to over its debugging pipe (no port, no package needed).
//
//   const browser = await start();            // throws when no Chromium is installed
//   const page = await browser.open(url);
//   await page.evaluate('document.title');    // an expression or a promise; throws what it throws
//   await page.until('window.done === true'); // polls, 10 s
//   page.problems                             // exceptions and console errors so far
//   browser.close();
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const chromium = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);

export async function start() {
    if (!chromium) throw new Error('no Chromium here');
    const profile = mkdtempSync(join(tmpdir(), 'pghttpd-chromium-'));
    const child = spawn(chromium, ['--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run',
        '--disable-background-networking', '--disable-component-update', '--remote-debugging-pipe', `--user-data-dir=${profile}`, 'about:blank'],
        { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
    const waiting = new Map(), pages = new Map();
    let next = 1, rest = '';
    child.stdio[4].setEncoding('utf8');
    child.stdio[4].on('data', text => {
        const parts = (rest + text).split('\0');
        rest = parts.pop();
        for (const part of parts) {
            const m = JSON.parse(part);
            if (m.id) {
                const { resolve, reject } = waiting.get(m.id);
                waiting.delete(m.id);
                if (m.error) reject(new Error(m.error.message));
                else resolve(m.result);
            } else {
                pages.get(m.sessionId)?.(m);
            }
        }
    });
    const call = (method, params = {}, sessionId = undefined) => new Promise((resolve, reject) => {
        const id = next++;
        waiting.set(id, { resolve, reject });
        child.stdio[3].write(JSON.stringify({ id, method, params, sessionId }) + '\0');
    });
    return {
        async open(url) {
            const { targetId } = await call('Target.createTarget', { url: 'about:blank' });
            const { sessionId } = await call('Target.attachToTarget', { targetId, flatten: true });
            const page = {
                problems: [],
                async evaluate(expression) {
                    const r = await call('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true }, sessionId);
                    if (r.exceptionDetails) throw new Error(r.exceptionDetails.exception?.description || r.exceptionDetails.text);
                    return r.result.value;
                },
                async until(expression, ms = 10000) {
                    const end = Date.now() + ms;
                    for (;;) {
                        const value = await page.evaluate(expression);
                        if (value) return value;
                        if (Date.now() > end) throw new Error('never true: ' + expression);
                        await new Promise(resolve => setTimeout(resolve, 20));
                    }
                },
                goto: where => call('Page.navigate', { url: where }, sessionId),
            };
            pages.set(sessionId, m => {
                if (m.method === 'Runtime.exceptionThrown') page.problems.push(m.params.exceptionDetails.exception?.description || m.params.exceptionDetails.text);
                if (m.method === 'Log.entryAdded' && m.params.entry.level === 'error') page.problems.push(m.params.entry.text + ' ' + (m.params.entry.url || ''));
            });
            await call('Runtime.enable', {}, sessionId);
            await call('Log.enable', {}, sessionId);
            await call('Page.enable', {}, sessionId);
            await page.goto(url);
            await page.until('document.readyState === "complete"');
            return page;
        },
        close() {
            child.kill('SIGKILL');
            child.on('exit', () => rmSync(profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 }));
        },
    };
}
