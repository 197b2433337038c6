/* Numbers and names in words. */

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
const grouped = new Intl.NumberFormat('en-US');

/* Half to even, as printf does. Sizes are bytes over a power of two: `number` times ten is exact, so that a half is one. */
function fixed(number, digits) {
    const scaled = number * 10 ** digits;
    const below = Math.floor(scaled);
    const rounded = scaled - below === 0.5 ? below + Math.abs(below % 2) : Math.round(scaled);
    return (rounded / 10 ** digits).toFixed(digits);
}

/* As tracemalloc writes sizes: "481 B", "97.7 KiB", "1522 KiB"; plus: "+1522 KiB". */
export function size(bytes, plus = false) {
    const sign = plus && bytes >= 0 ? '+' : '';
    let number = bytes;
    for (const unit of UNITS) {
        if (Math.abs(number) < 100 && unit !== 'B') {
            return `${sign}${fixed(number, 1)} ${unit}`;
        }
        if (Math.abs(number) < 10 * 1024 || unit === 'TiB') {
            return `${sign}${fixed(number, 0)} ${unit}`;
        }
        number /= 1024;
    }
}

/* Numbers of more than 53 bits have lost their last digits on the way into JavaScript. */
export function count(number, plus = false) {
    const digits = grouped.format(number);
    const text = plus && number >= 0 ? `+${digits}` : digits;
    return Number.isSafeInteger(number) ? text : `about ${text}`;
}

export function blocks(number, plus = false) {
    return `${count(number, plus)} block${Math.abs(number) === 1 ? '' : 's'}`;
}

export function exact(bytes, plus = false) {
    const told = size(bytes, plus);
    return told.endsWith(' B') ? told : `${told} (${count(bytes, plus)} B)`;
}

export function percent(part, whole) {
    return whole ? `${(100 * part / whole).toFixed(1)} %` : '';
}

/* A path's last component; of "MODULE(FUNCTION)" MODULE's. */
export function short(path) {
    const bracket = path.indexOf('(');
    const slash = path.lastIndexOf('/', bracket < 0 ? path.length : bracket);
    return path.slice(slash + 1);
}

/* An element with text in it, never markup: names come from the program that was looked at. */
export function element(tag, text = '', attributes = {}) {
    const made = document.createElement(tag);
    made.textContent = text;
    for (const [name, value] of Object.entries(attributes)) {
        made.setAttribute(name, value);
    }
    return made;
}
