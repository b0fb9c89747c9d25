import { HoldfastError, messageOf } from './errors.ts';

/** One thing that `holdfast doctor` looked at. */
export interface Check {
  readonly name: string;
  readonly ok: boolean;
  /** What was found, or what is wrong. */
  readonly detail: string;
  readonly remedy?: string;
}

/** Runs one check: what it returns is its finding, what it throws is what is wrong. */
export async function check(name: string, look: () => Promise<string>): Promise<Check> {
  try {
    return { name, ok: true, detail: await look() };
  } catch (error) {
    const remedy = error instanceof HoldfastError ? { remedy: error.remedy } : {};
    return { name, ok: false, detail: messageOf(error), ...remedy };
  }
}
