/* Stacks merged into a tree: what the flames are drawn from. */

/* What the width of a frame stands for. A difference shows by default what changed: what stayed as it was has no width then. */
const PLAIN = [
    { id: 'bytes', label: 'bytes', width: item => item.size },
    { id: 'blocks', label: 'blocks', width: item => item.count },
];
const DIFFERENCE = [
    { id: 'change', label: 'change in bytes', width: item => Math.abs(item.sizeDiff) },
    { id: 'blocks-change', label: 'change in blocks', width: item => Math.abs(item.countDiff) },
    { id: 'bytes', label: 'bytes, before or after', width: item => Math.max(item.size, item.size - item.sizeDiff) },
    { id: 'blocks', label: 'blocks, before or after', width: item => Math.max(item.count, item.count - item.countDiff) },
];

export function measures(model) {
    return model.diff ? DIFFERENCE : PLAIN;
}

const DEPTH_MAX = 500; /* frames of one stack that are drawn: the oldest and the most recent ones */
const NODES_MAX = 50000; /* frames in all: more are no use on a screen, and slow */

/* Not "Node": by that name the library knows its own. */
class Branch {
    constructor(name) {
        this.name = name;
        this.value = 0; /* the width */
        this.size = this.count = this.sizeDiff = this.countDiff = 0;
        this.frames = new Set();
        this.children = [];
        this.byName = new Map();
    }

    child(name) {
        let child = this.byName.get(name);
        if (!child) {
            child = new Branch(name);
            this.byName.set(name, child);
        }
        return child;
    }

    add(item, width) {
        this.value += width;
        this.size += item.size;
        this.count += item.count;
        this.sizeDiff += item.sizeDiff;
        this.countDiff += item.countDiff;
    }

    get found() {
        for (const frame of this.frames) {
            if (frame.found) {
                return true;
            }
        }
        return false;
    }
}

function drawn(frames) {
    if (frames.length <= DEPTH_MAX) {
        return frames;
    }
    const left = frames.length - DEPTH_MAX;
    return [...frames.slice(0, DEPTH_MAX / 2), `(${left} frames)`, ...frames.slice(DEPTH_MAX / 2 + left)];
}

function grow(root, item, width, byLine) {
    let node = root;
    node.add(item, width);
    if (item.part) {
        node = node.child(item.part);
        node.add(item, width);
    }
    for (const frame of drawn(item.frames)) {
        const known = typeof frame !== 'string';
        node = node.child(!known ? frame : byLine ? `${frame.name} ${frame.shortPlace}` : frame.name);
        if (known) {
            node.frames.add(frame);
        }
        node.add(item, width);
    }
}

/* The widest first; what has no width goes. Returns the number of nodes. */
function finish(node, widths) {
    node.children = [...node.byName.values()].filter(child => child.value > 0).sort((a, b) => b.value - a.value);
    node.byName = null;
    widths.push(node.value);
    for (const child of node.children) {
        finish(child, widths);
    }
}

/* Puts children of at most `least` together. */
function thin(node, least) {
    const small = node.children.filter(child => child.value <= least);
    node.children = node.children.filter(child => child.value > least);
    for (const child of node.children) {
        thin(child, least);
    }
    if (small.length > 0) {
        const rest = new Branch(`(${small.length} small ones)`);
        for (const child of small) {
            rest.add(child, child.value);
        }
        node.children.push(rest);
    }
}

export function tree(model, measure, byLine) {
    const root = new Branch(model.command === 'leaks' ? 'leaked' : 'all');
    for (const item of model.stacks) {
        grow(root, item, measure.width(item), byLine);
    }
    const widths = [];
    finish(root, widths);
    if (widths.length > NODES_MAX) {
        thin(root, widths.sort((a, b) => b - a)[NODES_MAX]);
    }
    return root;
}
