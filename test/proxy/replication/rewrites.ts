import { identifier, type Statement, type Token } from '../sql.ts';
import { Refusal } from './refusal.ts';

/** Defaults that are computed for each row anew, so that ADD COLUMN writes every row. */
const VOLATILE = /^(small|big)?serial$|^(random|nextval|gen_random_uuid|clock_timestamp|uuid_generate_v4)$/;

/**
 * The table that a statement would write anew: TRUNCATE, ADD and DROP PRIMARY KEY, another type, a column with a volatile default. Undefined
 * where it writes none. A type that only gets wider needs no rewrite, and is taken for one: the statement's text doesn't tell.
 */
export function rewrittenTable({ tokens }: Statement): string | undefined {
  const words = tokens.map(({ text }) => text);
  if (words[0] === 'truncate') return nameAt(tokens, words[1] === 'table' ? 2 : 1);
  if (words[0] !== 'alter' || words[1] !== 'table') return undefined;
  const follows = (first: string, second: string) =>
    words.some((word, at) => word === first && words[at + 1] === second);
  const addsColumn = words.includes('add') && !words.includes('constraint');
  const rewrites =
    follows('primary', 'key') ||
    words.some(
      (word, at) =>
        word === 'type' &&
        (words[at - 2] === 'column' || words[at - 2] === 'alter' || words[at - 1] === 'data'),
    ) ||
    (addsColumn && words.some((word) => VOLATILE.test(word)));
  return rewrites ? nameAt(tokens, 2) : undefined;
}

function nameAt(tokens: readonly Token[], from: number): string {
  let at = from;
  while (['only', 'if', 'exists'].includes(tokens[at]?.text ?? '')) at += 1;
  return identifier(tokens[tokens[at + 1]?.text === '.' ? at + 2 : at]) ?? '';
}

/** In the words of yb-voyager's issue 2272; the link is upstream's own. */
export function rewriteRefusal(database: string, table: string): Refusal {
  return new Refusal(
    '42P16',
    `Invalid table definition: Error creating table ${database}.${table} on the master: cannot rewrite a table that is a part of CDC or XCluster replication. See https://github.com/yugabyte/yugabyte-db/issues/16625.`,
  );
}
