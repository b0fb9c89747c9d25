import type { CST } from 'yaml';
import { type LocatedProblem, refused } from './diagnostic.ts';

const MAXIMUM_DEPTH = 64;
/** Most values in a file, before aliases are followed. Bounds the work for any text. */
const MAXIMUM_VALUES = 20_000;

/** Checks depth and number of values, from the tokens and without recursion. Composing a tree is recursive, so this check comes first. */
export function tooComplex(tokens: readonly CST.Token[]): LocatedProblem | undefined {
  const open: { readonly token: CST.Token; readonly depth: number }[] = tokens.map((token) => ({
    token,
    depth: 0,
  }));
  let values = open.length;
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { token, depth } = next;
    const items = itemsOf(token);
    // A comma without a value counts too, since each of them becomes an error.
    values += items.reduce((sum, { start }) => sum + 2 + start.filter(isComma).length, 0);
    const span = { start: token.offset, end: token.offset + 1 };
    if (values > MAXIMUM_VALUES) return { ...TOO_MANY_VALUES, span };
    if (depth > MAXIMUM_DEPTH) return { ...TOO_DEEP, span };
    if (token.type === 'document' && token.value !== undefined) open.push({ token: token.value, depth });
    for (const { key, value } of items) {
      if (key) open.push({ token: key, depth: depth + 1 });
      if (value) open.push({ token: value, depth: depth + 1 });
    }
  }
  return undefined;
}

function itemsOf(token: CST.Token): readonly CST.CollectionItem[] {
  const isCollection =
    token.type === 'block-map' || token.type === 'block-seq' || token.type === 'flow-collection';
  return isCollection ? token.items : [];
}

function isComma({ type }: CST.SourceToken): boolean {
  return type === 'comma';
}

const TOO_MANY_VALUES = refused(
  'TOO_COMPLEX',
  `The file holds more than ${MAXIMUM_VALUES} values`,
  'Split it into several files.',
);

const TOO_DEEP = refused(
  'TOO_COMPLEX',
  `Values are nested more than ${MAXIMUM_DEPTH} levels deep`,
  'No plan needs more than ten levels: look for brackets that were never closed.',
);
