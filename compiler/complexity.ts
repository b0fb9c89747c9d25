import type { CST } from 'yaml';
import { type LocatedProblem, refused } from './diagnostic.ts';

const MAXIMUM_DEPTH = 64;
/** Values in a file, before aliases are followed: bounds the work whatever the text. */
const MAXIMUM_VALUES = 20_000;

/** Depth and number of values, counted from the tokens without recursion. Composing a tree is recursive, so it comes after this check. */
export function tooComplex(tokens: readonly CST.Token[]): LocatedProblem | undefined {
  const open: { readonly token: CST.Token; readonly depth: number }[] = tokens.map((token) => ({
    token,
    depth: 0,
  }));
  let values = open.length;
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { token, depth } = next;
    const items = itemsOf(token);
    // A comma without a value counts too, since each is an error to be reported.
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
