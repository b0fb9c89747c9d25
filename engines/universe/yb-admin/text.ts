import { unreadable } from './errors.ts';

const UUID = '[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}';
const ONLY_UUID = new RegExp(`^${UUID}$`, 'i');

/** The id of a table or tablet: 32 hex digits. A colocated parent's has `.colocation.parent.uuid` or the like after it. */
const OBJECT_ID = /^[0-9a-f]{32}(?:\.[a-z]+\.parent\.uuid)?$/i;

/** Whether the text is a UUID, with or without dashes. */
export function isUuid(text: string): boolean {
  return ONLY_UUID.test(text);
}

export function isObjectId(text: string): boolean {
  return OBJECT_ID.test(text);
}

/** The form in which `yb-admin` compares snapshot ids as text: lower case, with dashes. Old builds print them without dashes. */
export function canonicalUuid(text: string): string {
  const digits = text.toLowerCase().replaceAll('-', '');
  return `${digits.slice(0, 8)}-${digits.slice(8, 12)}-${digits.slice(12, 16)}-${digits.slice(16, 20)}-${digits.slice(20)}`;
}

/** The UUID after `label` in `output`. Throws `YB_ADMIN_UNREADABLE`. */
export function uuidAfter(operation: string, output: string, label: string): string {
  const [, id] = new RegExp(`^${label}\\s*(${UUID})\\s*$`, 'im').exec(output) ?? [];
  if (id === undefined) throw unreadable(operation, output, `line "${label} <id>"`);
  return canonicalUuid(id);
}

/**
 * Rows of a printed table, including the header, without blank lines. Columns are separated by a tab, or by two spaces in a transcript that lost
 * its tabs.
 */
export function rowsOf(output: string): readonly (readonly string[])[] {
  return output
    .split(/\r?\n/)
    .filter((line) => line.trim() !== '')
    .map((line) => line.split(line.includes('\t') ? /\s*\t\s*/ : / {2,}/).map((cell) => cell.trim()));
}

/** The JSON value in `output`, without the text before it. Throws `YB_ADMIN_UNREADABLE`. */
export function jsonIn(operation: string, output: string): unknown {
  const start = output.search(/[{[]/);
  try {
    if (start >= 0) return JSON.parse(output.slice(start));
  } catch {
    // The error below reports it, with the output.
  }
  throw unreadable(operation, output, 'JSON');
}

/** `value[key]`; undefined unless `value` is an object that has it. */
export function field(value: unknown, key: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
  return Reflect.get(value, key);
}

/** The first of these members of `value` that is a text or a number, as text. */
export function textField(value: unknown, ...keys: readonly string[]): string | undefined {
  for (const key of keys) {
    const found = field(value, key);
    if (typeof found === 'string') return found;
    if (typeof found === 'number') return String(found);
  }
  return undefined;
}

/** The member `key` of `value` if it is a list; otherwise an empty list. */
export function listField(value: unknown, key: string): readonly unknown[] {
  const found = field(value, key);
  return Array.isArray(found) ? found : [];
}
