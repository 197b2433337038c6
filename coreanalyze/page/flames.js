/* The flame graph: d3-flame-graph, the oldest frame on top, with a keyboard and a tooltip. */
import flamegraph from 'd3-flame-graph';
import { select } from 'd3-selection';
import { changeColor, foundColor, moduleColor, otherColor } from './colors.js';
import { blocks, element, exact, percent, short } from './words.js';

const PLACES_MAX = 4; /* of a frame, in the tooltip */

/* The library's own tooltip would read names as markup; ours is in this file. */
function noTooltip() {}
noTooltip.show = noTooltip.hide = noTooltip.destroy = () => {};

/* Modules by what went through their frames. */
function rank(model) {
    const held = new Map();
    for (const item of model.stacks) {
        for (const { module } of item.frames) {
            held.set(module, (held.get(module) || 0) + item.size);
        }
    }
    return [...held].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).map(([module]) => module);
}

/* Lines about a node of the tree: what it is, where, what it holds. */
export function describe(model, data) {
    const frames = [...data.frames];
    const lines = frames.length === 0 ? [] : frames.slice(0, PLACES_MAX).map(frame => frame.place);
    if (frames.length > PLACES_MAX) {
        lines.push(`and ${frames.length - PLACES_MAX} more places`);
    }
    if (frames.length === 1 && frames[0].source) {
        lines.push(`    ${frames[0].source}`);
    }
    if (frames.length > 0 && frames[0].module && frames.every(frame => frame.module === frames[0].module)) {
        lines.push(frames[0].module);
    }
    const share = percent(data.size, model.total.size);
    lines.push(`${exact(data.size)}${share ? `, ${share}` : ''}, ${blocks(data.count)}`);
    if (model.diff) {
        lines.push(`${exact(data.sizeDiff, true)}, ${blocks(data.countDiff, true)}`);
    }
    return lines;
}

export class Flames {
    constructor(container, model, tell) {
        this.container = container;
        this.model = model;
        this.tell = tell; /* (node of the tree or null, by the keyboard) */
        this.modules = rank(model);
        this.moduleNumbers = new Map(this.modules.map((module, number) => [module, number]));
        this.searching = false;
        this.current = null;
        const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
        this.chart = flamegraph().inverted(true).cellHeight(20).minFrameSize(2).transitionDuration(still ? 0 : 200)
            .tooltip(noTooltip).resetHeightOnZoom(true).setColorMapper(node => this.color(node))
            .setDetailsHandler(() => {}).onClick(node => this.select(node));
        container.addEventListener('keydown', event => this.key(event));
        container.addEventListener('pointermove', event => this.point(event));
        container.addEventListener('pointerleave', () => this.tell(null, false));
        new ResizeObserver(() => this.resize()).observe(container);
    }

    draw(tree, searching) {
        this.tree = tree;
        this.searching = searching;
        this.chart.width(this.container.clientWidth);
        const drawn = this.container.querySelector('svg');
        if (drawn) {
            this.chart.update(tree);
        } else {
            select(this.container).datum(tree).call(this.chart);
        }
        this.select(this.root);
    }

    search(searching) {
        this.searching = searching;
        this.redraw();
    }

    get root() {
        return select(this.container).datum();
    }

    resize() {
        const width = this.container.clientWidth;
        if (this.tree && width > 0 && width !== this.chart.width()) {
            this.chart.width(width).update();
            this.mark();
        }
    }

    redraw() {
        this.chart.update();
        this.mark();
    }

    reset() {
        this.chart.zoomTo(this.root);
    }

    color(node) {
        const data = node.data;
        if (this.searching) {
            return data.found ? foundColor() : otherColor();
        }
        if (this.model.diff) {
            return changeColor(data.value ? this.change(data) : 0);
        }
        const frame = data.frames.values().next().value;
        return frame ? moduleColor(this.moduleNumbers.get(frame.module), data.name) : otherColor();
    }

    /* Of the width, how much more grew than shrank, or less. */
    change(data) {
        const difference = this.byBlocks ? data.countDiff : data.sizeDiff;
        return Math.max(-1, Math.min(1, difference / data.value));
    }

    select(node) {
        this.current = node;
        this.mark();
    }

    mark() {
        select(this.container).selectAll('g.frame').classed('current', node => node === this.current);
    }

    point(event) {
        const frame = event.target.closest('g.frame');
        this.tell(frame ? select(frame).datum().data : null, false, event);
    }

    key(event) {
        const at = this.current || this.root;
        const seen = at && at.parent ? at.parent.children.filter(node => node.value > 0) : [];
        const to = {
            ArrowDown: () => (at.children || []).find(node => node.value > 0),
            ArrowUp: () => at.parent,
            ArrowLeft: () => seen[seen.indexOf(at) - 1],
            ArrowRight: () => seen[seen.indexOf(at) + 1],
            Home: () => this.root,
        }[event.key];
        if (!at || event.ctrlKey || event.altKey || event.metaKey) {
            return;
        }
        if (to) {
            this.select(to() || at);
        } else if (event.key === 'Enter' || event.key === ' ') {
            this.chart.zoomTo(at);
        } else if (event.key === 'Escape') {
            this.reset();
        } else {
            return;
        }
        event.preventDefault();
        this.tell(this.current.data, true);
    }

    /* What the colours mean. */
    legend() {
        const entry = (color, text) => {
            const item = element('li', text);
            const sample = element('span', '', { class: 'sample' });
            sample.style.backgroundColor = color;
            item.prepend(sample);
            return item;
        };
        if (this.searching) {
            return [entry(foundColor(), 'found'), entry(otherColor(), 'other')];
        }
        if (this.model.diff) {
            return [entry(changeColor(1), 'grew'), entry(changeColor(-1), 'shrank'), entry(changeColor(0), 'as much as before')];
        }
        const shown = this.modules.slice(0, 6).map((module, number) => entry(moduleColor(number), module ? short(module) : 'unknown'));
        return this.modules.length > 6 ? [...shown, element('li', `and ${this.modules.length - 6} more modules`)] : shown;
    }
}
