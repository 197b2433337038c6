/* The table of statistics: sorted by a click on a heading, filtered by the search. */
import { count, element, percent, short, size } from './words.js';

const ROWS_AT_ONCE = 200;

const HEADINGS = {
    lineno: 'Line', filename: 'File', traceback: 'Traceback', function: 'Function', module: 'Module', domain: 'Domain', thread: 'Thread',
    type: 'Type',
};

function average(item) {
    return item.count ? item.size / item.count : 0;
}

/* number: what a column sorts by; its cell shows `text`, and `exact` when pointed at. */
function columns(model) {
    const all = [
        { id: 'size', label: 'Size', number: item => item.size, text: item => size(item.size), exact: item => `${count(item.size)} B`,
            share: true },
        { id: 'change', label: 'Change', number: item => item.sizeDiff, text: item => size(item.sizeDiff, true),
            exact: item => `${count(item.sizeDiff, true)} B`, signed: true, only: model.diff },
        { id: 'blocks', label: 'Blocks', number: item => item.count, text: item => count(item.count) },
        { id: 'blocks-change', label: 'Change', number: item => item.countDiff, text: item => count(item.countDiff, true), signed: true,
            only: model.diff },
        { id: 'average', label: 'Average', number: average, text: item => size(average(item)), only: !model.diff },
        { id: 'kind', label: 'Kind', text: item => item.part || '', only: model.command === 'leaks' },
        { id: 'place', label: HEADINGS[model.key], text: item => item.recent ? placeOf(model, item) : '' },
    ];
    return all.filter(column => column.only !== false);
}

function placeOf(model, item) {
    const frame = item.recent;
    return model.key === 'lineno' ? frame.place : model.key === 'traceback' ? frame.name : frame.filename;
}

/* What is known besides the name of a group. */
function remarks(model, item) {
    const frame = item.recent;
    const found = [];
    if (model.key === 'lineno' && !frame.line) {
        return ''; /* MODULE(FUNCTION) says it all */
    }
    if (model.key === 'lineno' && frame.function) {
        found.push(frame.function);
    }
    if (model.key === 'traceback') {
        found.push(frame.shortPlace);
    }
    if (frame.module && (model.key === 'lineno' || model.key === 'function')) {
        found.push(short(frame.module));
    }
    return found.join(' · ');
}

function frameItem(frame) {
    const item = element('li');
    item.append(element('span', frame.name, { class: frame.found ? 'name found' : 'name' }), element('span', ` ${frame.place}`, { class: 'remark' }));
    if (frame.source) {
        item.append(element('code', frame.source));
    }
    return item;
}

/* The whole traceback, oldest frame first; its elements are made when it is opened. */
function traceback(item) {
    const details = element('details');
    const list = element('ol');
    details.append(element('summary', `${item.frames.length} frames`), list);
    details.addEventListener('toggle', () => {
        if (details.open && !list.hasChildNodes()) {
            list.append(...item.frames.map(frameItem));
        }
    });
    return details;
}

export class Table {
    constructor(table, more, model, onSort) {
        this.model = model;
        this.columns = columns(model);
        this.head = table.tHead;
        this.body = table.tBodies[0];
        this.foot = table.tFoot;
        this.more = more;
        this.onSort = onSort;
        this.sorted = { id: '', up: false };
        this.makeHead();
        this.makeFoot();
        more.addEventListener('click', () => this.add());
    }

    makeHead() {
        const row = element('tr');
        for (const column of this.columns) {
            const heading = element('th', '', { scope: 'col', class: column.id });
            const button = element('button', column.label, { type: 'button' });
            button.addEventListener('click', () => this.onSort(column.id, this.sorted.id === column.id ? !this.sorted.up : !column.number));
            heading.append(button);
            row.append(heading);
        }
        this.head.append(row);
    }

    makeFoot() {
        const { other, total } = this.model;
        const sum = (sums, label) => {
            const item = { size: sums.size, count: sums.count, sizeDiff: sums.size_diff, countDiff: sums.count_diff, frames: [], found: false };
            const row = this.row(item);
            row.querySelector('.place').textContent = label;
            this.foot.append(row);
        };
        if (other.groups) {
            sum(other, `${count(other.groups)} other`);
        }
        sum(total, 'Total');
    }

    /* id "": the order of coreanalyze. */
    show(searching, id, up) {
        this.sorted = { id, up };
        const column = this.columns.find(one => one.id === id);
        this.rows = searching ? this.model.rows.filter(item => item.found) : [...this.model.rows];
        if (column) {
            const key = column.number || column.text;
            const order = up ? 1 : -1;
            this.rows = this.rows.map(item => [key(item), item]).sort((a, b) => order * (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0)).map(([, item]) => item);
        }
        this.head.querySelectorAll('th').forEach((heading, i) => {
            heading.setAttribute('aria-sort', this.columns[i].id !== id ? 'none' : up ? 'ascending' : 'descending');
        });
        this.body.replaceChildren();
        this.add();
    }

    add() {
        const shown = this.body.rows.length;
        this.body.append(...this.rows.slice(shown, shown + ROWS_AT_ONCE).map(item => this.row(item)));
        const left = this.rows.length - this.body.rows.length;
        this.more.hidden = left === 0;
        this.more.textContent = `Show more (${count(left)} left)`;
    }

    row(item) {
        const row = element('tr');
        for (const column of this.columns) {
            row.append(this.cell(item, column));
        }
        return row;
    }

    cell(item, column) {
        const cell = element('td', column.text(item), { class: column.id, 'data-label': column.label });
        if (column.exact) {
            cell.title = column.exact(item);
        }
        if (column.signed) {
            const change = column.number(item);
            cell.classList.add(change > 0 ? 'grew' : change < 0 ? 'shrank' : 'same');
        }
        if (column.share) {
            cell.append(element('span', percent(item.size, this.model.total.size), { class: 'share' }));
        }
        if (column.id === 'place' && item.recent) {
            this.fillPlace(cell, item);
        }
        return cell;
    }

    fillPlace(cell, item) {
        const name = element('span', cell.textContent, { class: item.recent.found ? 'name found' : 'name' });
        cell.replaceChildren(name);
        const remark = remarks(this.model, item);
        if (remark) {
            cell.append(' ', element('span', remark, { class: 'remark' }));
        }
        if (item.recent.source) {
            cell.append(element('code', item.recent.source));
        }
        if (this.model.key === 'traceback') {
            cell.append(traceback(item));
        }
    }
}
