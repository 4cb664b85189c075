// Small helpers around the DOM: everything that is shown goes through h(), which makes text nodes of strings, never HTML.

export const $ = id => document.getElementById(id);

// h('button', { class: 'main', onclick: f, disabled: true }, 'text', child, ...)
export function h(name, attributes, ...children) {
  const e = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith('on')) e.addEventListener(key.slice(2), value);
    else if (key === 'class') e.className = value;
    else if (key === 'value') e.value = value;
    else e.setAttribute(key, value === true ? '' : value);
  }
  e.append(...children.flat().filter(c => c !== undefined && c !== null && c !== false));
  return e;
}

export function svg(name, attributes, ...children) {
  const e = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes || {})) e.setAttribute(key, value);
  e.append(...children);
  return e;
}

export const plural = (n, what) => n.toLocaleString('en') + ' ' + what + (n === 1 ? '' : 's');

export function ms(value) {
  if (value < 10) return value.toFixed(1) + ' ms';
  if (value < 1000) return Math.round(value) + ' ms';
  if (value < 60000) return (value / 1000).toFixed(1) + ' s';
  return Math.floor(value / 60000) + ' min ' + Math.round(value % 60000 / 1000) + ' s';
}

export function bytes(n) {
  for (const unit of ['B', 'KB', 'MB']) {
    if (n < 1000) return (unit === 'B' || n >= 100 ? Math.round(n) : n.toFixed(1)) + ' ' + unit;
    n /= 1024;
  }
  return n.toFixed(1) + ' GB';
}

// One line at the bottom, read out by screen readers.
export const status = text => { $('status').textContent = text; };

export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = h('textarea', { class: 'away', 'aria-hidden': 'true' });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand('copy');
    area.remove();
  }
  status('Copied: ' + what + '.');
}

// A modal dialog; resolves with the value of the button that closed it, '' for Escape.
export function dialog(title, content, buttons = [['close', 'Close']], options = {}) {
  const form = h('form', { method: 'dialog' },
    h('h2', { id: 'dialog-title' }, title), h('div', { class: 'dialog-body' }, content),
    h('div', { class: 'row end' }, buttons.map(([value, label, kind]) => h('button', { value, class: kind, formnovalidate: value === 'close' }, label))));
  const box = h('dialog', { 'aria-labelledby': 'dialog-title', class: options.wide ? 'wide' : '' }, form);
  // Enter in a field means the main button, not the first one, as HTML has it.
  form.addEventListener('keydown', e => {
    if (e.key !== 'Enter' || e.target.tagName !== 'INPUT') return;
    e.preventDefault();
    const main = form.querySelector('.row.end button.main');
    if (main && main.value !== 'close') main.click();
  });
  document.body.append(box);
  box.showModal();
  return new Promise(resolve => box.addEventListener('close', () => {
    box.remove();
    resolve(box.returnValue);
  }));
}

// What went wrong, with everything that the server said about it.
export function problem(e) {
  const text = v => v && typeof v === 'object' ? JSON.stringify(v) : v;
  return h('div', { class: 'error', role: 'alert' },
    h('strong', null, [e.code, e.message || 'failed'].filter(Boolean).join('  ')),
    [e.detail || e.details, e.where].map(v => v && h('div', null, text(v))),
    e.hint && h('div', { class: 'hint' }, 'Hint: ' + text(e.hint)),
    e.setting && h('div', { class: 'hint' }, 'Setting: ', h('code', null, e.setting)));
}

export const stored = {
  get(key, otherwise, where = localStorage) {
    try { return JSON.parse(where.getItem('pghttpd.' + key)) ?? otherwise; } catch { return otherwise; }
  },
  set(key, value, where = localStorage) {
    try { where.setItem('pghttpd.' + key, JSON.stringify(value)); } catch { /* full, or not allowed: only not kept */ }
  },
};
