import { Dice } from '../../crash/dice.ts';

/** What a shell would make if any name of a case reached one as a command. */
export const CANARY = 'pwned';

/** Pieces that a reader of dumps may stumble over, most of them met in real ones. */
const PIECES = [
  ...[
    'a',
    'Users',
    'select',
    'user',
    'begin',
    'END',
    'case',
    'BEGIN ATOMIC',
    'é',
    '💥',
    'x.y',
    '1',
    '_',
    '%s',
    'A b',
  ],
  ...[
    '"',
    '""',
    "'",
    "''",
    "E'",
    '\\',
    '\\\\',
    ';',
    ';;',
    '(',
    ')',
    '((',
    '{',
    ',',
    ':',
    '::',
    '$$',
    '$x$',
    '--',
    '/*',
    '*/',
  ],
  ...['\n', '\r', '\t', '\n\n', ' ', '  ', '\n;\n', '\n--\n', '";\n', "';\n", '\v', '\u00a0'],
  ...[
    `\n\\! touch ${CANARY}\n`,
    `\\! touch ${CANARY}`,
    `\\g |touch ${CANARY}\n`,
    `\n\\o |touch ${CANARY}\n`,
    `\`touch ${CANARY}\``,
  ],
  ...[
    `$(touch ${CANARY})`,
    `;\n\\! touch ${CANARY}\n`,
    '\\connect evil',
    '\n\\c evil\n',
    '\\gset',
    '\\if :use_roles',
    '\n\\endif\n',
  ],
  ...[
    '\n\\else\n',
    '\\restrict k',
    '\n\\unrestrict k\n',
    '\\.',
    '\n\\.\n',
    '\\q',
    '\n\\i /etc/passwd\n',
    ':use_roles',
    ':{?x}',
  ],
  ...[
    '; Type: TABLE; Schema: s; Owner: o',
    '-- Name: x; Type: DATABASE',
    '\n-- Name: x; Type: TABLE; Schema: s; Owner: o\n',
  ],
  ...[
    '; Tablespace: t',
    '; Owner: o',
    'DATABASE x',
    'SCHEMA x',
    'EVENT TRIGGER x',
    ' USING INDEX ',
    ' UNIQUE',
    ' TABLEGROUP g',
  ],
  ...[
    'COPY x FROM stdin;\n',
    'DROP TABLE x;',
    '; DROP DATABASE x;',
    ' HASH',
    ' ASC',
    'SPLIT INTO 3 TABLETS',
    ' OWNER TO ',
    '*',
    '\u{1d400}',
  ],
];

/** PostgreSQL cuts names after that many bytes. */
const LONGEST_NAME = 63;

/** Names of one case: no two are equal, most are hostile. */
export class HostileNames {
  readonly #dice: Dice;
  readonly #used = new Set<string>();

  constructor(seed: number) {
    this.#dice = new Dice(seed);
  }

  name(): string {
    const plain = this.#dice.chance(0.2);
    for (;;) {
      const count = 1 + Math.floor(this.#dice.number() * 4);
      const text = plain ? 'plain_' : Array.from({ length: count }, () => this.#dice.pick(PIECES)).join('');
      const own = this.#dice.chance(0.5) ? `${text}${this.#used.size}` : `${this.#used.size}${text}`;
      const name = fitted(this.#dice.chance(0.3) ? text : own);
      // Roles beginning with pg_ are the server's, and so is `public`.
      if (name === '' || this.#used.has(name) || /^pg_|^(?:none|public|default)$/i.test(name)) continue;
      this.#used.add(name);
      return name;
    }
  }

  /** A longer text, for comments, bodies and defaults. */
  text(): string {
    return Array.from({ length: 1 + Math.floor(this.#dice.number() * 8) }, () =>
      this.#dice.pick(PIECES),
    ).join('');
  }
}

function fitted(text: string): string {
  let name = '';
  for (const character of text) {
    if (Buffer.byteLength(name + character) > LONGEST_NAME) break;
    name += character;
  }
  return name;
}
