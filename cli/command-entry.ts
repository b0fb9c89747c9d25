import type { Command } from 'commander';

/** A command, which is loaded when it is asked for. */
export interface CommandEntry {
  readonly name: string;
  readonly load: () => Promise<(program: Command) => void>;
}
