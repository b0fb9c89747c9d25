import type { Command } from 'commander';

/** A command. It is loaded only when it is needed. */
export interface CommandEntry {
  readonly name: string;
  readonly load: () => Promise<(program: Command) => void>;
}
