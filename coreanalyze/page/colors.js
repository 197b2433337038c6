/* The flames' colours, for a light and a dark page: a hue for each module, or what grew and what shrank. */

const dark = matchMedia('(prefers-color-scheme: dark)');

export function onSchemeChange(redraw) {
    dark.addEventListener('change', redraw);
}

/* [neutral, grown, shrunk] as red, green, blue: told apart by those who do not see red and green apart, too. */
const LIGHT = { neutral: [226, 226, 222], grown: [240, 125, 60], shrunk: [92, 156, 226], found: '#ffd23f', other: '#e9e9e6' };
const DARK = { neutral: [66, 69, 76], grown: [184, 74, 18], shrunk: [40, 102, 178], found: '#8a6100', other: '#35383f' };

function palette() {
    return dark.matches ? DARK : LIGHT;
}

function mixed(from, to, share) {
    const parts = from.map((part, i) => Math.round(part + (to[i] - part) * share));
    return `rgb(${parts.join(',')})`;
}

/* change: from -1, all of it shrunk, to 1, all of it grown. */
export function changeColor(change) {
    const { neutral, grown, shrunk } = palette();
    return change === 0 ? mixed(neutral, neutral, 0) : mixed(neutral, change > 0 ? grown : shrunk, 0.3 + 0.7 * Math.min(1, Math.abs(change)));
}

export function foundColor() {
    return palette().found;
}

/* Of what is not found while something is searched for. */
export function otherColor() {
    return palette().other;
}

function hash(text) {
    let value = 2166136261;
    for (let i = 0; i < text.length; i++) {
        value = Math.imul(value ^ text.charCodeAt(i), 16777619);
    }
    return value >>> 0;
}

/* number: the module's place among the modules, 0 for the one that holds most; name: of the function, which gives a shade. */
export function moduleColor(number, name = '') {
    const hue = (28 + number * 137.508) % 360;
    const shade = name ? hash(name) % 8 : 4;
    return dark.matches ? `hsl(${hue.toFixed(0)} 38% ${27 + shade}%)` : `hsl(${hue.toFixed(0)} 72% ${72 + shade * 1.5}%)`;
}
