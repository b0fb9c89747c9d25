import { z } from 'zod';
import { roleName } from './parts.ts';

/** What is required before a restore may overwrite something. */
export const restorePolicy = z
  .strictObject({
    approval: z
      .enum(['required', 'two-people', 'none'])
      .prefault('required')
      .meta({
        description:
          'Whether a restore in the place of the original waits for the signal `approve` (`holdfast approve`). `two-people`: whoever asked for a restore can’t approve it.',
        examples: ['required'],
      }),
    safetyBackup: z
      .boolean()
      .prefault(true)
      .meta({
        description:
          'Whether what is there is backed up before it is overwritten; a request can say otherwise.',
        examples: [true],
      }),
    owner: roleName(
      'On YSQL: everything that is restored belongs to this role, in place of its owner at the source. For a worker whose role is no member of the owners.',
    ).optional(),
  })
  .meta({
    description: 'What a restore in the place of the original must pass. Left out: both.',
    examples: [{ approval: 'none' }],
  });
