/* Reads what the blob service answers: XML of a machine, without comments, CDATA or namespaces, whose texts are escaped. */

const ENTITIES: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };

/** What is inside each element of this name, in order. An element of the same name inside it is not looked for. */
export function elements(xml: string, name: string): string[] {
  const pattern = new RegExp(`<${name}(?:\\s[^>]*[^>/])?>([\\s\\S]*?)</${name}>`, 'g');
  return Array.from(xml.matchAll(pattern), ([, inside = '']) => inside);
}

/** The text of the first element of this name. Undefined where there is none, or an empty one. */
export function firstElement(xml: string, name: string): string | undefined {
  const [inside] = elements(xml, name);
  return inside === undefined || inside === '' ? undefined : textOf(inside);
}

/** The name of a blob or a folder. Names that XML can't hold are percent-encoded, and say so. */
export function nameIn(xml: string): string | undefined {
  const name = firstElement(xml, 'Name');
  return name !== undefined && /<Name\s+Encoded="true"/i.test(xml) ? decodeURIComponent(name) : name;
}

function textOf(escaped: string): string {
  return escaped.replace(/&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi, (whole, hex, decimal, entity) => {
    if (hex !== undefined) return String.fromCodePoint(Number.parseInt(hex, 16));
    if (decimal !== undefined) return String.fromCodePoint(Number(decimal));
    return ENTITIES[entity] ?? whole;
  });
}
