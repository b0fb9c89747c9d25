import { type LocatedProblem, type Problem, refused } from './diagnostic.ts';
import type { Span } from './source-text.ts';
import type { YamlNode } from './yaml-tree.ts';

const REFERENCE_REMEDY =
  'Put the secret where the worker runs and name it here: `{ env: NAME }` or `{ file: /run/secrets/name }`. Then change it: it stands in this file and its history.';

/**
 * `scheme://user:password@host` anywhere in a text; the password itself may contain `@`. All repetitions are bounded, so that no
 * text makes the search slow.
 */
const URL_PASSWORD = /\b[a-z][a-z0-9+.-]{0,20}:\/\/[^\s/?#:@]{0,100}:[^\s]{1,300}@/i;

/** Forms of values that give access by themselves, under whatever key. */
const SECRET_SHAPES: readonly { readonly pattern: RegExp; readonly what: string }[] = [
  { pattern: URL_PASSWORD, what: 'A URL with a password in it' },
  { pattern: /\bpassword\s{0,9}=\s{0,9}[^\s]+/i, what: 'A connection string with a password in it' },
  { pattern: /\bpassword\s{1,9}'[^']{1,300}'/i, what: 'A statement with a password in it' },
  { pattern: /\b(?:AKIA|ASIA)[0-9A-Z]{16}\b/, what: 'An AWS access key' },
  { pattern: /-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----/, what: 'A private key' },
  {
    pattern: /\bhttps?:\/\/(?:hooks\.slack\.com\/services|(?:discord|discordapp)\.com\/api\/webhooks)\/\S+/i,
    what: 'A webhook address, which lets anybody who knows it post,',
  },
  {
    pattern: /[?&](?:token|access_token|api[-_]?key|secret|password|sig|signature)=[^&\s]+/i,
    what: 'A URL with a secret in its query',
  },
];

/** Keys with a secret as their value. Plain text under them is refused. */
const SECRET_KEYS =
  /^(?:pg)?(?:password|passwd|pwd|passphrase|secret|token|secret_?access_?key|session_?token|api_?key|access_?key_?id)$/i;

/** The kind of secret that a text holds; undefined when none is recognised. */
function secretIn(text: string): Problem | undefined {
  const found = SECRET_SHAPES.find(({ pattern }) => pattern.test(text));
  if (found === undefined) return undefined;
  return refused('SECRET_IN_PLAIN_TEXT', `${found.what} stands here in plain text`, REFERENCE_REMEDY).problem;
}

/** Every secret that a document contains in plain text. The problems never contain its value. */
export function findSecrets(node: YamlNode): readonly LocatedProblem[] {
  switch (node.kind) {
    case 'scalar': {
      const problem = typeof node.value === 'string' ? secretIn(node.value) : undefined;
      return problem === undefined ? [] : [{ problem, span: node.span }];
    }
    case 'list':
      return node.items.flatMap(findSecrets);
    case 'mapping':
      return node.entries.flatMap(({ key, keySpan, value }) => {
        const inKey = secretIn(key);
        const found: LocatedProblem[] = inKey === undefined ? [] : [{ problem: inKey, span: keySpan }];
        const isText = value.kind === 'scalar' && value.value !== null && value.value !== '';
        if (!isText || !SECRET_KEYS.test(key)) return [...found, ...findSecrets(value)];
        const problem = refused(
          'SECRET_IN_PLAIN_TEXT',
          `The value of \`${key}\` stands here in plain text`,
          REFERENCE_REMEDY,
        ).problem;
        return [...found, { problem, span: value.span }];
      });
  }
}

/** A line of a file in which dots of the same length cover what looks like a secret, and the given spans. */
export function masked(line: string, secretSpans: readonly Span[]): string {
  const cover = (text: string): string => '\u2022'.repeat(text.length);
  const spansCovered = secretSpans.reduce(
    (text, { start, end }) => text.slice(0, start) + cover(text.slice(start, end)) + text.slice(end),
    line,
  );
  return SECRET_SHAPES.reduce((text, { pattern }) => {
    const everywhere = new RegExp(pattern.source, `${pattern.flags}g`);
    return text.replace(everywhere, cover);
  }, spansCovered);
}
