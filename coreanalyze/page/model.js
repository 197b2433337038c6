/* The data of the page, as coreanalyze/output/flames/page.h describes them, with names in the place of numbers. */
import { short } from './words.js';

class Frame {
    constructor([functionName, filename, line, module, source = ''], names) {
        this.function = names[functionName];
        this.filename = names[filename];
        this.line = line;
        this.module = names[module];
        this.source = source;
        this.searched = `${this.function}\n${this.place}\n${this.module}`.toLowerCase();
        this.found = false;
    }

    /* "FILE:LINE"; code without line information has no line. */
    get place() {
        return this.line ? `${this.filename}:${this.line}` : this.filename;
    }

    /* What folded stacks call it. */
    get name() {
        return this.function || this.filename;
    }

    get shortPlace() {
        return this.line ? `${short(this.filename)}:${this.line}` : short(this.filename);
    }
}

/* A stack or a row of the table. frames: oldest first. */
class Item {
    constructor(numbers, model, part) {
        const sums = model.diff ? 4 : 2;
        [this.size, this.count] = numbers;
        [this.sizeDiff, this.countDiff] = model.diff ? numbers.slice(2, 4) : [0, 0];
        this.frames = numbers.slice(sums).map(number => model.frames[number]);
        this.part = part;
    }

    get recent() {
        return this.frames[this.frames.length - 1];
    }

    get found() {
        return this.frames.some(frame => frame.found);
    }
}

export class Model {
    constructor(text) {
        const data = JSON.parse(text);
        Object.assign(this, {
            version: data.version, command: data.command, diff: data.diff, title: data.title, oldTitle: data.old_title, key: data.key,
            cumulative: data.cumulative, value: data.value, complete: data.complete, total: data.total, other: data.other,
        });
        this.notes = data.notes.split('\n').filter(Boolean);
        this.frames = data.frames.map(frame => new Frame(frame, data.names));
        this.stacks = [];
        this.rows = [];
        for (const part of data.parts) {
            const make = numbers => new Item(numbers, this, part.name);
            const stacks = part.stacks.map(make);
            this.stacks = this.stacks.concat(stacks);
            this.rows = this.rows.concat(typeof part.rows === 'number' ? stacks.slice(0, part.rows) : part.rows.map(make));
        }
    }

    /* Marks the frames that hold `text`; false = none is wanted. */
    search(text) {
        const wanted = text.trim().toLowerCase();
        for (const frame of this.frames) {
            frame.found = wanted !== '' && frame.searched.includes(wanted);
        }
        return wanted !== '';
    }
}
