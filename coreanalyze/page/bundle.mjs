/* Puts page.html, page.css, page.js and the libraries that it imports into one file: node bundle.mjs FILE
 *
 * Nothing but what is in the file can be loaded or run by the page: its policy names the digests of its one script and its one
 * style. The libraries' licences are in a comment at its end. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { build } from 'esbuild';

const MARKER = '@@TM-DATA@@'; /* where coreanalyze puts the data: coreanalyze/output/flames/template.c */

async function script() {
    const result = await build({
        entryPoints: ['page.js'], bundle: true, minify: true, format: 'iife', target: 'es2020', charset: 'ascii',
        sourcemap: false, legalComments: 'none', loader: { '.css': 'empty' }, metafile: true, write: false,
    });
    return { text: result.outputFiles[0].text.trim(), inputs: Object.keys(result.metafile.inputs) };
}

async function style() {
    const result = await build({ entryPoints: ['page.css'], minify: true, charset: 'ascii', write: false });
    return result.outputFiles[0].text.trim();
}

/* Licences of the packages that are in the bundle. */
function licences(inputs) {
    const packages = new Set(inputs.map(input => /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input)?.[1]).filter(Boolean));
    return [...packages].sort().map(name => {
        const directory = `node_modules/${name}`;
        const about = JSON.parse(readFileSync(`${directory}/package.json`, 'utf8'));
        const file = readdirSync(directory).find(entry => /^licen[cs]e(\.|$)/i.test(entry));
        const text = file && existsSync(`${directory}/${file}`) ? readFileSync(`${directory}/${file}`, 'utf8') : '';
        return `${name} ${about.version}, ${about.license}\n\n${text.trim()}\n`;
    }).join('\n');
}

function digest(text) {
    return `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
}

/* Functions, since a string would have its dollar signs read. */
function fill(template, values) {
    return template.replace(/@([A-Z]+)@(?!@)/g, (whole, name) => name in values ? values[name] : whole);
}

const code = await script();
const css = await style();
if (/<\/(script|style)/i.test(code.text + css)) {
    throw new Error('the bundle would end its element');
}
const page = fill(readFileSync('page.html', 'utf8'), {
    POLICY: `default-src 'none'; script-src ${digest(code.text)}; style-src ${digest(css)}; img-src data:; base-uri 'none'; form-action 'none'`,
    STYLE: css,
    SCRIPT: code.text,
    LICENCES: licences(code.inputs).replaceAll('--', '- -'),
});
if (page.split(MARKER).length !== 2) {
    throw new Error(`${MARKER} has to be there once`);
}
writeFileSync(process.argv[2], page);
