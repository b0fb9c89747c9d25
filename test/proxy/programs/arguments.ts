/** A command line of the dump programs: `--name=value`, `--name value`, `-x value` and plain words, in order. */
export interface Argument {
  /** `--read-time`, `-h`; undefined for a plain word. */
  readonly option: string | undefined;
  readonly value: string | undefined;
}

/** Options that take their value from the next word where it isn't joined to them. */
const WITH_VALUE: ReadonlySet<string> = new Set([
  ...['-f', '-F', '-j', '-Z', '-e', '-E', '-n', '-N', '-S', '-t', '-T', '-d', '-h', '-p', '-U', '-l', '-m'],
  ...[
    '--file',
    '--format',
    '--jobs',
    '--compress',
    '--encoding',
    '--schema',
    '--exclude-schema',
    '--superuser',
  ],
  ...[
    '--table',
    '--exclude-table',
    '--exclude-table-data',
    '--extension',
    '--extra-float-digits',
    '--section',
  ],
  ...[
    '--snapshot',
    '--role',
    '--dbname',
    '--host',
    '--port',
    '--username',
    '--database',
    '--lock-wait-timeout',
  ],
  ...[
    '--rows-per-insert',
    '--include-foreign-data',
    '--exclude-database',
    '--masters',
    '--read-time',
    '--restrict-key',
  ],
]);

export function parseArguments(words: readonly string[]): readonly Argument[] {
  const found: Argument[] = [];
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] ?? '';
    const [, name, joined] =
      /^(--[^=]+)=(.*)$/s.exec(word) ??
      /^(--.+|-[A-Za-z0-9])()$/.exec(word) ??
      /^(-[A-Za-z0-9])(.+)$/s.exec(word) ??
      [];
    if (name === undefined || word === '--') found.push({ option: undefined, value: word });
    else if (joined !== undefined && joined !== '') found.push({ option: name, value: joined });
    else if (word.endsWith('=')) found.push({ option: name, value: '' });
    else if (WITH_VALUE.has(name)) {
      at += 1;
      found.push({ option: name, value: words[at] });
    } else found.push({ option: name, value: undefined });
  }
  return found;
}

export function words(args: readonly Argument[]): readonly string[] {
  return args.flatMap(({ option, value }) => {
    if (option === undefined) return value === undefined ? [] : [value];
    if (value === undefined) return [option];
    return option.startsWith('--') ? [`${option}=${value}`] : [option, value];
  });
}

/** The value of the last of these options. */
export function lastValue(args: readonly Argument[], ...options: readonly string[]): string | undefined {
  return args.findLast(({ option }) => option !== undefined && options.includes(option))?.value;
}

export function has(args: readonly Argument[], ...options: readonly string[]): boolean {
  return args.some(({ option }) => option !== undefined && options.includes(option));
}

/** Host, port, user and database of a command line of `pg_dump`, as `psql` takes them. */
export function connectionOf(passed: readonly string[]): readonly string[] {
  const args = parseArguments(passed);
  const connection = (['--host', '-h'] as const).flatMap((option) => {
    const value = lastValue(args, option);
    return value === undefined ? [] : [`--host=${value}`];
  });
  for (const [long, short] of [
    ['--port', '-p'],
    ['--username', '-U'],
  ] as const) {
    const value = lastValue(args, long, short);
    if (value !== undefined) connection.push(`${long}=${value}`);
  }
  const database =
    lastValue(args, '--dbname', '-d') ?? args.findLast(({ option }) => option === undefined)?.value;
  if (database !== undefined) connection.push(`--dbname=${database}`);
  return connection;
}
