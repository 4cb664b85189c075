'use strict';
const $ = id => document.getElementById(id);
const status = text => { $('status').textContent = text };

function element(name, text, className) {
  const e = document.createElement(name);
  if (text !== undefined) e.textContent = text;
  if (className) e.className = className;
  return e;
}

/* Tabs, with the arrow keys as the ARIA pattern has it; the open one is in the address. */
const tabs = [...document.querySelectorAll('[role=tab]')];
function open(tab) {
  for (const t of tabs) {
    const chosen = t === tab;
    t.setAttribute('aria-selected', chosen);
    t.tabIndex = chosen ? 0 : -1;
    $(t.getAttribute('aria-controls')).hidden = !chosen;
  }
  history.replaceState(null, '', '#' + tab.getAttribute('aria-controls'));
}
tabs.forEach((tab, i) => {
  tab.onclick = () => open(tab);
  tab.onkeydown = e => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[e.key];
    if (!step) return;
    const next = tabs[(i + step + tabs.length) % tabs.length];
    open(next);
    next.focus();
  };
});
open(tabs.find(t => '#' + t.getAttribute('aria-controls') === location.hash) || tabs[0]);

function table(columns, rows, caption) {
  const t = element('table');
  t.append(element('caption', caption));
  const head = t.createTHead().insertRow();
  for (const c of columns) {
    const th = element('th', c);
    th.scope = 'col';
    head.append(th);
  }
  const body = t.createTBody();
  for (const row of rows) {
    const tr = body.insertRow();
    for (const v of row)
      tr.append(element('td', v === null ? 'null' : typeof v === 'object' ? JSON.stringify(v) : String(v), v === null ? 'null' : ''));
  }
  return t;
}

function problem(e) {
  const box = element('div', undefined, 'error');
  box.append(element('strong', (e.code ? e.code + ' ' : '') + (e.message || 'failed')));
  for (const text of [e.detail || e.details, e.hint, e.position && 'at character ' + e.position])
    if (text) box.append(element('div', typeof text === 'object' ? JSON.stringify(text) : text));
  return box;
}

const plural = (n, what) => n + ' ' + what + (n === 1 ? '' : 's');

/* Runs one request: the button is off meanwhile, the footer says how it went. */
async function send(button, into, url, options, show) {
  const began = performance.now();
  button.disabled = true;
  into.setAttribute('aria-busy', 'true');
  status('Waiting for the answer…');
  try {
    const r = await fetch(url, options);
    const text = await r.text();
    const json = /json/.test(r.headers.get('content-type') || '') && text ? JSON.parse(text) : undefined;
    into.replaceChildren(...(r.ok ? show(json, text, r) : [problem(json || { message: text || r.statusText })]));
    status(r.status + ' in ' + Math.round(performance.now() - began) + ' ms, ' + plural(text.length, 'byte'));
  } catch (e) {
    into.replaceChildren(problem({ message: 'No answer: ' + e.message }));
    status('No answer.');
  }
  into.removeAttribute('aria-busy');
  button.disabled = false;
}

/* SQL */
const sqlForm = document.querySelector('#sql form');
sqlForm.onsubmit = e => {
  e.preventDefault();
  const parts = $('query').value.split(/\n\s*\n/).map(s => s.trim()).filter(Boolean);
  const headers = { 'Content-Type': 'application/json' };
  if ($('user').value)
    headers.Authorization = 'Basic ' + btoa(String.fromCharCode(...new TextEncoder().encode($('user').value + ':' + $('password').value)));
  const body = JSON.stringify(parts.length > 1
    ? { queries: parts.map(query => ({ query, arrayMode: true })) }
    : { query: parts[0] || '', arrayMode: true });
  send(sqlForm.querySelector('button'), $('sql-result'), 'sql?max_rows=1000', { method: 'POST', headers, body }, json =>
    (json.results || [json]).map(r => r.fields && r.fields.length
      ? table(r.fields.map(f => f.name), r.rows, plural(r.rows.length, 'row') + (r.truncated ? ', and more' : ''))
      : element('p', [r.command, r.rowCount].filter(v => v !== null && v !== '').join(' '))));
};
$('query').onkeydown = e => {
  if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) {
    e.preventDefault();
    sqlForm.requestSubmit();
  }
};

/* REST */
const restForm = document.querySelector('#rest form');
restForm.onsubmit = e => {
  e.preventDefault();
  const method = $('method').value;
  const headers = {};
  if ($('token').value) headers.Authorization = 'Bearer ' + $('token').value.trim();
  const options = { method, headers };
  if (method !== 'GET' && $('body').value) {
    options.body = $('body').value;
    headers['Content-Type'] = 'application/json';
    headers.Prefer = 'return=representation';
  }
  send(restForm.querySelector('button'), $('rest-result'), 'rest/' + $('path').value.replace(/^\/+/, ''), options, (json, text, r) => {
    if (Array.isArray(json) && json.length && json.every(v => v && typeof v === 'object' && !Array.isArray(v))) {
      const columns = [...new Set(json.flatMap(Object.keys))];
      return [table(columns, json.map(o => columns.map(c => c in o ? o[c] : null)), r.headers.get('content-range') || plural(json.length, 'row'))];
    }
    return [element('pre', json === undefined ? text || '(empty)' : JSON.stringify(json, null, 2))];
  });
};

/* Events */
let source;
function note(text, mark) {
  const li = element('li', undefined, mark ? 'mark' : '');
  const time = element('time', new Date().toLocaleTimeString());
  li.append(time, text);
  $('log').prepend(li);
  while ($('log').children.length > 500) $('log').lastChild.remove();
}
const channels = () => $('channel').value.split(/\s+/).filter(Boolean);
document.querySelector('#events form').onsubmit = e => {
  e.preventDefault();
  if (source) {
    source.close();
    source = undefined;
    $('listen').textContent = 'Listen';
    status('Stopped.');
    return;
  }
  source = new EventSource('listen?' + channels().map(c => 'channel=' + encodeURIComponent(c)).join('&'));
  $('listen').textContent = 'Stop';
  status('Connecting…');
  source.onopen = () => status('Listening on ' + channels().join(', ') + '.');
  source.onmessage = m => {
    const d = JSON.parse(m.data);
    note(d.channel + '  ' + d.payload);
  };
  for (const kind of ['overflow', 'gap', 'expired'])
    source.addEventListener(kind, m => note(kind + ' ' + m.data, true));
  source.onerror = () => {
    if (!source || source.readyState !== EventSource.CLOSED) return status('Connection lost, trying again…');
    source = undefined;
    $('listen').textContent = 'Listen';
    status('Refused: is listen-access on?');
  };
};
$('send').onsubmit = async e => {
  e.preventDefault();
  const r = await fetch('notify/' + encodeURIComponent(channels()[0] || ''), { method: 'POST', body: $('payload').value }).catch(() => undefined);
  status(!r ? 'No answer.' : r.ok ? 'Sent.' : 'Not sent: ' + r.status + ' ' + (await r.text()));
};
