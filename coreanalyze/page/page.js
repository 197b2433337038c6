/* The page: what is said at its top, its controls, and what they do. The state is in the address, so that it can be kept:
 * #q=TEXT&width=MEASURE&frames=functions|lines&sort=COLUMN&up=1 */
import { onSchemeChange } from './colors.js';
import { Flames, describe } from './flames.js';
import { Model } from './model.js';
import { Table } from './table.js';
import { measures, tree } from './tree.js';
import { blocks, count, element, exact, percent, short } from './words.js';

const byId = id => document.getElementById(id);
const model = new Model(byId('data').textContent);

const WHAT = { live: '', peak: ' at the peak', total: ' allocated since the start' };
const GROUPS = {
    lineno: 'By line', filename: 'By file', traceback: 'Tracebacks, largest first', function: 'By function', module: 'By module',
    domain: 'By domain', thread: 'By thread', type: 'By type',
};

function totalText() {
    const { total } = model;
    const held = `${exact(total.size)} in ${blocks(total.count)}`;
    const what = `${model.command === 'leaks' ? 'leaked: ' : ''}${held}${WHAT[model.value]}`;
    return model.diff ? `${what}; change: ${exact(total.size_diff, true)}, ${blocks(total.count_diff, true)}` : what;
}

function fillHead() {
    const what = { top: '', diff: ': difference', leaks: ': leaks' }[model.command];
    const name = short(model.title.replace(/ \(process \d+\)$/, '')) || 'tm';
    document.title = `${name}${what}`;
    byId('title').textContent = `${name}${what}`;
    byId('subtitle').textContent = model.diff ? `${model.oldTitle}, then ${model.title}` : model.title === name ? '' : model.title;
    byId('total').textContent = totalText();
    byId('notes').append(...model.notes.map(note => element('li', note)));
    byId('notes').className = model.complete ? '' : 'alarm';
    byId('table-heading').textContent = GROUPS[model.key] + (model.cumulative ? ', a block counted for every frame' : '');
    byId('measure').append(...measures(model).map(({ id, label }) => element('option', label, { value: id })));
}

/* ------------------------------------------------------------------------------------------------------ state */

function stateRead() {
    const given = new URLSearchParams(location.hash.slice(1));
    return {
        q: given.get('q') || '',
        width: measures(model).some(({ id }) => id === given.get('width')) ? given.get('width') : measures(model)[0].id,
        frames: given.get('frames') === 'lines' ? 'lines' : 'functions',
        sort: given.get('sort') || '',
        up: given.get('up') === '1',
    };
}

function stateWrite(state) {
    const kept = new URLSearchParams();
    const plain = { q: '', width: measures(model)[0].id, frames: 'functions', sort: '', up: false };
    for (const key in plain) {
        if (state[key] !== plain[key]) {
            kept.set(key, state[key] === true ? '1' : state[key]);
        }
    }
    const hash = `#${kept}`;
    if (hash !== (location.hash || '#')) {
        history.replaceState(null, '', hash);
    }
}

let state = stateRead();
let shown = {}; /* the state that the page shows */

/* ---------------------------------------------------------------------------------------------------- tooltip */

function describeInto(target, data) {
    const lines = data ? describe(model, data) : [];
    target.replaceChildren(...(data ? [element('strong', data.name), ...lines.map(line => element('span', line))] : []));
}

function tell(data, byKeyboard, event) {
    const tip = byId('tip');
    if (byKeyboard) {
        describeInto(byId('details'), data);
    }
    tip.hidden = !data || byKeyboard;
    if (tip.hidden) {
        return;
    }
    describeInto(tip, data);
    const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
    const below = event.clientY + 18;
    const top = below + tip.offsetHeight > innerHeight - 8 ? event.clientY - tip.offsetHeight - 10 : below;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${Math.max(8, top)}px`;
}

/* ---------------------------------------------------------------------------------------------------- showing */

const flames = new Flames(byId('flames'), model, tell);
const table = new Table(byId('table'), byId('more'), model, (sort, up) => change({ sort, up }));

function foundText(searching) {
    if (!searching) {
        return '';
    }
    const bytes = model.stacks.reduce((sum, item) => sum + (item.found ? item.size : 0), 0);
    const share = percent(bytes, model.total.size);
    return `${count(table.rows.length)} of ${count(model.rows.length)} groups; ${exact(bytes)}${share ? `, ${share},` : ''} came by frames found`;
}

function show() {
    const measure = measures(model).find(({ id }) => id === state.width);
    const searching = model.search(state.q);
    if (shown.width !== state.width || shown.frames !== state.frames) {
        flames.byBlocks = state.width.startsWith('blocks');
        const made = tree(model, measure, state.frames === 'lines');
        byId('flames').classList.toggle('empty', made.value === 0);
        flames.draw(made, searching);
    } else if (shown.q !== state.q) {
        flames.search(searching);
    }
    byId('legend').replaceChildren(...flames.legend());
    table.show(searching, state.sort, state.up);
    byId('found').textContent = foundText(searching);
    byId('search').value = state.q;
    byId('measure').value = state.width;
    byId('frames').value = state.frames;
    shown = { ...state };
}

function change(what) {
    state = { ...state, ...what };
    stateWrite(state);
    show();
}

/* A large page is searched when the typing pauses. */
let pause = 0;
byId('search').addEventListener('input', event => {
    clearTimeout(pause);
    const typed = event.target.value;
    pause = setTimeout(() => change({ q: typed }), model.frames.length > 5000 ? 250 : 0);
});
byId('controls').addEventListener('submit', event => event.preventDefault());
byId('measure').addEventListener('change', event => change({ width: event.target.value }));
byId('frames').addEventListener('change', event => change({ frames: event.target.value }));
byId('reset').addEventListener('click', () => {
    change({ q: '' });
    flames.reset();
});
addEventListener('hashchange', () => {
    state = stateRead();
    show();
});
onSchemeChange(() => {
    flames.redraw();
    byId('legend').replaceChildren(...flames.legend());
});

fillHead();
show();
document.documentElement.dataset.ready = '1';
