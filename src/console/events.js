// The Events tab: channels as they are notified, with what was lost; NOTIFY.
import { base, config, notify, stream } from './api.js';
import { $, copy, h, plural, problem, status, stored, svg } from './dom.js';

const KEPT = 1000, SECONDS = 60;
let stop = null, seen = [], waiting = [], paused = false, counts = new Array(SECONDS).fill(0), total = 0, lost = 0;

const channels = () => $('channels').value.split(/[\s,]+/).filter(Boolean);
const query = () => channels().map(c => 'channel=' + encodeURIComponent(c)).join('&');
const wanted = e => {
  const text = $('event-filter').value.toLowerCase();
  return !text || e.mark || (e.channel + ' ' + e.payload).toLowerCase().includes(text);
};

function pretty(text) {
  try {
    const value = JSON.parse(text);
    return value && typeof value === 'object' ? JSON.stringify(value, null, 2) : text;
  } catch { return text; }
}

function item(e) {
  const time = h('time', { datetime: e.at.toISOString() }, e.at.toLocaleTimeString('en-GB') + '.' + String(e.at.getMilliseconds()).padStart(3, '0'));
  if (e.mark) return h('li', { class: 'mark ' + e.mark }, time, h('strong', null, e.mark), h('span', null, e.payload));
  return h('li', null, time, h('span', { class: 'tag' }, e.channel), h('details', { class: 'payload' },
    h('summary', null, e.payload.length > 300 ? e.payload.slice(0, 300) + '…' : e.payload || '(empty)'),
    h('pre', { tabindex: '0' }, pretty(e.payload)), h('button', { type: 'button', class: 'small', onclick: () => copy(e.payload, 'the payload') }, 'Copy'), h('span', { class: 'soft' }, ` from backend ${e.pid}`)));
}

function redraw() {
  $('event-log').replaceChildren(...seen.filter(wanted).slice(0, KEPT).map(item));
}

let pending = [], frame = 0;
function flush() {
  frame = 0;
  const log = $('event-log');
  log.prepend(...pending.filter(wanted).reverse().map(item));
  pending = [];
  while (log.children.length > KEPT) log.lastChild.remove();
}

function put(e) {
  if (paused && !e.mark) {
    waiting.push(e);
    if (waiting.length > KEPT) waiting.shift();
    return;
  }
  seen.unshift(e);
  if (seen.length > KEPT) seen.pop();
  pending.push(e);
  if (pending.length > KEPT) pending.shift();
  frame ||= setTimeout(flush, 50);
}

const mark = (kind, text) => put({ at: new Date(), mark: kind, payload: text });

function figures() {
  const rate = counts.slice(-6, -1).reduce((a, b) => a + b, 0) / 5;
  $('event-rate').textContent = [plural(total, 'event'), `${rate.toFixed(1)} a second`, lost ? plural(lost, 'event') + ' lost' : '', paused && waiting.length ? plural(waiting.length, 'event') + ' waiting' : ''].filter(Boolean).join(' · ');
  const most = Math.max(1, ...counts), step = 240 / (SECONDS - 1);
  $('event-chart').replaceChildren(svg('polyline', { points: counts.map((n, i) => `${(i * step).toFixed(1)},${(38 - 34 * n / most).toFixed(1)}`).join(' '), class: 'line' }));
  $('event-chart').setAttribute('aria-label', `Events a second in the last minute, at most ${most}`);
}

function got(e) {
  counts[SECONDS - 1]++;
  if (e.type === 'message') {
    total++;
    const d = JSON.parse(e.data);
    return put({ at: new Date(), channel: d.channel, payload: d.payload ?? '', pid: d.pid });
  }
  let d = {};
  try { d = JSON.parse(e.data); } catch { /* shown as it is */ }
  const of = d.channels ? ' on ' + d.channels.join(', ') : '';
  if (e.type === 'overflow') {
    lost += d.dropped || 0;
    mark('overflow', `${plural(d.dropped || 0, 'event')}${of} dropped: this page was too slow`);
  } else if (e.type === 'gap') mark('gap', `PostgreSQL was away${of}: events may be missing here`);
  else if (e.type === 'expired') mark('expired', 'the token has expired: the stream ended');
  else mark(e.type, e.data);
}

function end(text) {
  stop?.();
  stop = null;
  $('listen').textContent = 'Listen';
  $('event-state').textContent = text;
  $('event-state').className = 'chip';
}

function state(what, e) {
  const chip = $('event-state');
  if (what === 'refused') {
    end('refused');
    $('event-problem').replaceChildren(problem(e));
    if (e.status === 401) document.dispatchEvent(new CustomEvent('sign-in', { detail: 'token' }));
    return;
  }
  if (what === 'lost') mark('lost', (e?.message || 'the connection is gone') + ': trying again');
  else if (what === 'open' && chip.dataset.was === 'lost') mark('back', 'connected again');
  if (what !== 'connecting') chip.dataset.was = what;
  chip.textContent = { connecting: 'connecting', open: 'listening', lost: 'connection lost' }[what];
  chip.className = 'chip ' + (what === 'open' ? 'good' : what === 'lost' ? 'wrong' : '');
}

function toggle(e) {
  e.preventDefault();
  if (stop) return end('stopped');
  if (!channels().length) return $('channels').focus();
  stored.set('channels', $('channels').value);
  $('event-problem').replaceChildren();
  $('event-state').dataset.was = '';
  $('listen').textContent = 'Stop';
  stop = stream('listen?' + query(), { state, event: got });
}

function pause() {
  paused = !paused;
  $('pause').textContent = paused ? 'Go on' : 'Pause';
  $('pause').setAttribute('aria-pressed', paused);
  if (paused) return;
  for (const e of waiting.splice(0)) put(e);
}

// What a page, or curl, would write to hear the same.
function sample() {
  const url = new URL(base + 'listen?' + query(), location.href).href;
  return `// in a page: ${config.listen === 'jwt' ? 'EventSource sends no headers: the token comes by a cookie (listen-cookie) or ?access_token= (listen-query-token)' : 'another origin needs server-cors-allowed-origins'}
const events = new EventSource(${JSON.stringify(url)})
events.onmessage = e => console.log(JSON.parse(e.data))   // {"channel":"...","payload":"...","pid":4711}
events.addEventListener('gap', reload)                     // PostgreSQL was away: read your tables again
events.addEventListener('overflow', reload)                // this page was too slow

# with curl
curl -N${config.listen === 'jwt' ? ' -H "Authorization: Bearer $TOKEN"' : ''} '${url}'

-- in the database: who changes the table tells the channel
create function tell() returns trigger language plpgsql as $$
begin
    perform pg_notify('${(channels()[0] || 'orders').replaceAll("'", "''")}', json_build_object('op', lower(tg_op), 'id', new.id)::text);
    return null;
end $$;
create trigger tell after insert or update on ${/^[a-z_][a-z0-9_]*$/.test(channels()[0]) ? channels()[0] : 'orders'} for each row execute function tell();
`;
}

async function send(e) {
  e.preventDefault();
  const channel = $('notify-channel').value || channels()[0] || '';
  try {
    await notify(channel, $('payload').value);
    $('notify-problem').replaceChildren();
    status(`Notified ${channel}.`);
  } catch (x) {
    $('notify-problem').replaceChildren(problem(x));
  }
}

export function start() {
  $('channels').value = stored.get('channels', 'orders');
  $('listen-form').onsubmit = toggle;
  $('notify-form').onsubmit = send;
  $('pause').onclick = pause;
  $('clear').onclick = () => {
    seen = [];
    waiting = [];
    total = lost = 0;
    redraw();
  };
  $('event-filter').oninput = redraw;
  const code = $('event-code');
  code.ontoggle = $('channels').oninput = () => { code.querySelector('pre').textContent = sample(); };
  code.querySelector('button').onclick = () => copy(sample(), 'the example');
  document.addEventListener('auth', () => stop && end('stopped: signed in anew'));
  setInterval(() => {
    if (!$('panel-events').hidden) figures();
    counts = [...counts.slice(1), 0];
  }, 1000);
  figures();
}

export function show() {
  $('listen-off').hidden = config.listen !== 'off';
  $('notify-off').hidden = config.notify !== 'off';
}
