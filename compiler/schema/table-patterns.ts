import { z } from 'zod';
import type { Reading } from '../diagnostic.ts';
import { shadowed } from '../patterns.ts';
import { alsoCheck, type Fault, reading } from './parts.ts';

/** What is included and what is excluded, as globs over `names`. */
export const patterns = (read: (text: string) => Reading<string>, names: string, example: string) => {
  const list = (description: string) =>
    z
      .array(reading(read, { description: `A glob over ${names}.`, minLength: 1, examples: [example] }))
      .min(1)
      .meta({ description, examples: [[example]] });
  return z
    .strictObject({
      include: list('Only what matches one of these; left out, all.').optional(),
      exclude: list('Nothing that matches one of these; wins over `include`.').optional(),
    })
    .check(
      alsoCheck(({ include, exclude }) => {
        const excluded = textsOf(exclude).filter((pattern) => pattern !== undefined);
        return textsOf(include).flatMap((pattern, index): readonly Fault[] => {
          const problem = pattern === undefined ? undefined : shadowed(pattern, excluded);
          return problem === undefined ? [] : [{ params: { problem }, path: ['include', index] }];
        });
      }),
    );
};

/** Every item of a list in its place. Undefined for an item that is not text. */
export function textsOf(list: unknown): readonly (string | undefined)[] {
  return Array.isArray(list) ? list.map((item) => (typeof item === 'string' ? item : undefined)) : [];
}
