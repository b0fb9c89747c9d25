import { type ScriptPart, type Statement, unreadable } from './sql-text.ts';

type Command = Extract<ScriptPart, { readonly kind: 'command' }>;

/** How a psql command affects the script after it. */
type CommandEffect = 'none' | 'connect';

/** `\restrict KEY` of newer programs, and `\unrestrict`, which ends it. psql would accept no other command between them. */
const RESTRICTION = /^\\(?:un)?restrict [A-Za-z0-9]+\s*$/;
/** Stands before a `\connect` to a name that is not plain ASCII (pg_dump 15.18). It needs no action: our sessions and the script are in UTF-8 throughout. */
const ENCODING = /^\\encoding SQL_ASCII\s*$/;
const ECHO = /^\\echo .*$/s;
const SET = /^\\set (?<name>[a-z_]+) (?<value>true|false)\s*$/;
const IF = /^\\if (?:(?<value>true|false)|:(?<name>[a-z_]+)|:\{\?(?<asked>[a-z_]+)\})\s*$/;
const ELSE = /^\\else\s*$/;
const END = /^\\endif\s*$/;
const QUERY = /^\\gset\s*$/;
/** Accepts quoted names and connection strings too. */
const CONNECT = /^\\connect (?:-reuse-previous=(?:on|off) )?(?:"(?:[^"]|"")*"|[^\s\\]+)\s*$/;

interface Branch {
  /** Whether the current branch is to be run. */
  active: boolean;
  /** Whether an earlier branch of this `\if` was run. */
  taken: boolean;
}

/**
 * Evaluates the psql commands in a dump of `ysql_dump --include-yb-metadata [--dump-role-checks]` or `ysql_dumpall`: `\if :use_roles`, `\if :use_tablespaces`
 * and the settings before them; `SELECT … \gset`, which asks whether a role exists and always counts as answered with yes, because a restore looks for missing
 * roles before it begins; `\connect` and the `\encoding` before it, `\restrict` and `\echo`. It refuses every other command, and other forms of these, with
 * `DUMP_UNREADABLE` (permanent): no part of a dump ever reaches a shell.
 */
export class DumpGuards {
  readonly #script: string;
  readonly #variables = new Map<string, string>();
  readonly #branches: Branch[] = [];

  constructor(script: string) {
    this.#script = script;
  }

  /** Whether the script's current part is to be run. */
  get active(): boolean {
    return this.#branches.every(({ active }) => active);
  }

  /** @param query the statement that the command ended, if it did. */
  apply(command: Command, query: Statement | undefined): CommandEffect {
    const { text } = command;
    if (query !== undefined) {
      if (!QUERY.test(text)) throw this.#refused(command);
      this.#ask(query);
      return 'none';
    }
    if (RESTRICTION.test(text) || ECHO.test(text) || ENCODING.test(text)) return 'none';
    if (CONNECT.test(text)) return this.active ? 'connect' : 'none';
    const setting = SET.exec(text)?.groups;
    if (setting !== undefined) {
      if (this.active) this.#variables.set(setting.name ?? '', setting.value ?? '');
      return 'none';
    }
    const condition = IF.exec(text)?.groups;
    if (condition !== undefined) {
      const active = !this.active || this.#holds(command, condition);
      this.#branches.push({ active, taken: active });
    } else if (ELSE.test(text)) {
      const branch = this.#branch(command);
      branch.active = !branch.taken;
      branch.taken = true;
    } else if (END.test(text)) {
      this.#branch(command);
      this.#branches.pop();
    } else {
      throw this.#refused(command);
    }
    return 'none';
  }

  /** Throws `DUMP_UNREADABLE` (permanent) when a condition never ends. */
  finish(): void {
    if (this.#branches.length > 0) {
      throw unreadable(
        this.#script,
        this.#script.length,
        'it ends within a condition (\\if without \\endif)',
      );
    }
  }

  /** `SELECT EXISTS (…) [AND EXISTS (…)] AS name \gset`. */
  #ask(query: Statement): void {
    const [select, exists] = query.tokens;
    const [as, name] = query.tokens.slice(-2);
    if (
      select?.text !== 'select' ||
      exists?.text !== 'exists' ||
      as?.text !== 'as' ||
      name?.kind !== 'word'
    ) {
      throw unreadable(this.#script, query.start, `a statement has no end: ${shown(query.text)}`);
    }
    if (this.active) this.#variables.set(name.text, 'true');
  }

  #holds(command: Command, { value, name, asked }: Readonly<Record<string, string | undefined>>): boolean {
    if (asked !== undefined) return this.#variables.has(asked);
    const found = value ?? this.#variables.get(name ?? '');
    if (found === undefined) {
      throw unreadable(
        this.#script,
        command.start,
        `a condition asks for a setting that is not set: ${shown(command.text)}`,
      );
    }
    return found === 'true';
  }

  #branch(command: Command): Branch {
    const branch = this.#branches.at(-1);
    if (branch === undefined) {
      throw unreadable(this.#script, command.start, `${shown(command.text)} belongs to no \\if`);
    }
    return branch;
  }

  #refused({ start, text }: Command): Error {
    return unreadable(
      this.#script,
      start,
      `stands the shell command ${shown(text)}, which Holdfast doesn't run`,
    );
  }
}

const SHOWN = 60;

function shown(text: string): string {
  return JSON.stringify(text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text);
}
