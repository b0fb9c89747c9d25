import { HoldfastError, messageOf } from './errors.ts';

/** One check of `holdfast doctor`. */
export interface Check {
  readonly name: string;
  readonly ok: boolean;
  /** What was found, or what is wrong. */
  readonly detail: string;
  readonly remedy?: string;
}

/** Runs one check. `look` returns what it found, or throws what is wrong. */
export async function check(name: string, look: () => Promise<string>): Promise<Check> {
  try {
    return { name, ok: true, detail: await look() };
  } catch (error) {
    const remedy = error instanceof HoldfastError ? { remedy: error.remedy } : {};
    return { name, ok: false, detail: messageOf(error), ...remedy };
  }
}
