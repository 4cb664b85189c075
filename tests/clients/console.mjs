// The page at / in a real browser: SQL, REST and events, and what it says when something is wrong.
import assert from 'node:assert/strict';
import { start } from './browser.mjs';

const url = process.argv[2];
const browser = await start();
try {
    const page = await browser.open(url + '/');
    const text = id => page.evaluate(`document.getElementById(${JSON.stringify(id)}).innerText`);
    const fill = (id, value) => page.evaluate(`document.getElementById(${JSON.stringify(id)}).value = ${JSON.stringify(value)}`);
    const submit = selector => page.evaluate(`document.querySelector(${JSON.stringify(selector)}).requestSubmit()`);
    const answered = id => page.until(`!document.getElementById(${JSON.stringify(id)}).hasAttribute('aria-busy')`);
    assert.equal(await page.evaluate('document.title'), 'pghttpd');

    await fill('query', "select 1 as one, 'zwölf' as two, null as three, '<b>x</b>' as four");
    await submit('#sql form');
    await answered('sql-result');
    assert.deepEqual(await page.evaluate("[...document.querySelectorAll('#sql-result th')].map(e => e.textContent)"), ['one', 'two', 'three', 'four']);
    assert.deepEqual(await page.evaluate("[...document.querySelectorAll('#sql-result td')].map(e => e.textContent)"), ['1', 'zwölf', 'null', '<b>x</b>']);

    await fill('query', "insert into seen values (1)\n\nselect count(*) from seen");
    await submit('#sql form');
    await answered('sql-result');
    assert.match(await text('sql-result'), /INSERT 1[\s\S]*count[\s\S]*1/);

    await fill('query', 'select nonsense');
    await submit('#sql form');
    await answered('sql-result');
    assert.match(await text('sql-result'), /42703[\s\S]*nonsense/);

    await page.evaluate("document.getElementById('tab-rest').click()");
    await fill('path', 'items?order=id&limit=2');
    await submit('#rest form');
    await answered('rest-result');
    assert.deepEqual(await page.evaluate("[...document.querySelectorAll('#rest-result td')].map(e => e.textContent)"), ['1', 'item 1', '2', 'item 2']);
    await fill('path', 'nothing_here');
    await submit('#rest form');
    await answered('rest-result');
    assert.match(await text('rest-result'), /PGRST205/);

    await page.evaluate("document.getElementById('tab-events').click()");
    await fill('channel', 'orders stock');
    await submit('#events form');
    await page.until("/^Listening/.test(document.getElementById('status').textContent)");
    await fill('payload', 'grüße <i>');
    await submit('#send');
    await page.until("document.querySelector('#log li')?.textContent.endsWith('orders  grüße <i>')").catch(async e => {
        throw new Error(e.message + ': ' + await text('status') + ' | ' + await page.evaluate("document.getElementById('log').textContent"));
    });
    assert.equal(page.problems.filter(p => !/ 40[04] /.test(p)).join('\n'), '');
} finally {
    browser.close();
}
