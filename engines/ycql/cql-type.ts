/** A type of CQL, parsed from the text that `system_schema` has of it. */
export type CqlType =
  | { readonly kind: 'native'; readonly name: string }
  | { readonly kind: 'custom'; readonly className: string }
  | { readonly kind: 'list' | 'set'; readonly frozen: boolean; readonly element: CqlType }
  | { readonly kind: 'map'; readonly frozen: boolean; readonly key: CqlType; readonly value: CqlType }
  | { readonly kind: 'tuple'; readonly elements: readonly CqlType[] }
  | { readonly kind: 'vector'; readonly element: CqlType; readonly dimension: number }
  | { readonly kind: 'udt'; readonly frozen: boolean; readonly name: string };

/** Names of the server's native types. */
export const nativeNames: readonly string[] = [
  'ascii',
  'bigint',
  'blob',
  'boolean',
  'counter',
  'date',
  'decimal',
  'double',
  'duration',
  'float',
  'inet',
  'int',
  'jsonb',
  'smallint',
  'text',
  'time',
  'timestamp',
  'timeuuid',
  'tinyint',
  'uuid',
  'varchar',
  'varint',
];
const NATIVE = new Set(nativeNames);

/** Parses a type. Throws `SyntaxError` naming the text. */
export function parseType(text: string): CqlType {
  const tokens = text.match(/'(?:[^']|'')*'|"(?:[^"]|"")*"|[<>,]|[^\s<>,'"]+/g) ?? [];
  const parser = new TypeParser(text, tokens);
  const type = parser.type(false);
  parser.end();
  return type;
}

class TypeParser {
  readonly #text: string;
  readonly #tokens: readonly string[];
  #at = 0;

  constructor(text: string, tokens: readonly string[]) {
    this.#text = text;
    this.#tokens = tokens;
  }

  type(frozen: boolean): CqlType {
    const name = this.#next();
    if (name.startsWith("'")) return { kind: 'custom', className: name.slice(1, -1).replaceAll("''", "'") };
    if (name.startsWith('"')) return { kind: 'udt', frozen, name: name.slice(1, -1).replaceAll('""', '"') };
    if (this.#tokens[this.#at] !== '<') {
      return NATIVE.has(name) ? { kind: 'native', name } : { kind: 'udt', frozen, name };
    }
    this.#at += 1;
    const type = this.#parametrised(name, frozen);
    this.#expect('>');
    return type;
  }

  end(): void {
    if (this.#at !== this.#tokens.length) this.#fail();
  }

  #parametrised(name: string, frozen: boolean): CqlType {
    switch (name) {
      case 'frozen':
        return this.type(true);
      case 'list':
      case 'set':
        return { kind: name, frozen, element: this.type(false) };
      case 'map': {
        const key = this.type(false);
        this.#expect(',');
        return { kind: 'map', frozen, key, value: this.type(false) };
      }
      case 'tuple': {
        const elements = [this.type(false)];
        while (this.#tokens[this.#at] === ',') {
          this.#at += 1;
          elements.push(this.type(false));
        }
        return { kind: 'tuple', elements };
      }
      case 'vector': {
        const element = this.type(false);
        this.#expect(',');
        return { kind: 'vector', element, dimension: Number(this.#next()) };
      }
      default:
        return this.#fail();
    }
  }

  #next(): string {
    const token = this.#tokens[this.#at];
    this.#at += 1;
    return token ?? this.#fail();
  }

  #expect(token: string): void {
    if (this.#next() !== token) this.#fail();
  }

  #fail(): never {
    throw new SyntaxError(`not a type of CQL: ${this.#text}`);
  }
}

/** Whether each element of a value is a cell of its own: a collection or user-defined type that isn't frozen. */
export function isMultiCell(
  type: CqlType,
): type is Extract<CqlType, { kind: 'list' | 'set' | 'map' | 'udt' }> {
  return 'frozen' in type && !type.frozen;
}

/** Names of the user-defined types that a type is made of. */
export function usedTypes(type: CqlType): readonly string[] {
  switch (type.kind) {
    case 'udt':
      return [type.name];
    case 'list':
    case 'set':
    case 'vector':
      return usedTypes(type.element);
    case 'map':
      return [...usedTypes(type.key), ...usedTypes(type.value)];
    case 'tuple':
      return type.elements.flatMap(usedTypes);
    default:
      return [];
  }
}

/** Names of the native types that a type is made of. */
export function nativeTypes(type: CqlType): readonly string[] {
  switch (type.kind) {
    case 'native':
      return [type.name];
    case 'list':
    case 'set':
      return nativeTypes(type.element);
    case 'vector':
      return ['vector', ...nativeTypes(type.element)];
    case 'map':
      return [...nativeTypes(type.key), ...nativeTypes(type.value)];
    case 'tuple':
      return ['tuple', ...type.elements.flatMap(nativeTypes)];
    default:
      return [];
  }
}
