import { errorResponse } from '../frames.ts';

/** An error in YugabyteDB's own words. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly code: string;
  readonly detail: string | undefined;
  readonly hint: string | undefined;

  constructor(
    code: string,
    message: string,
    more: { readonly detail?: string; readonly hint?: string } = {},
  ) {
    super(message);
    this.code = code;
    this.detail = more.detail;
    this.hint = more.hint;
  }

  bytes(): Buffer {
    const fields = new Map([
      ['S', 'ERROR'],
      ['V', 'ERROR'],
      ['C', this.code],
      ['M', this.message],
    ]);
    if (this.detail !== undefined) fields.set('D', this.detail);
    if (this.hint !== undefined) fields.set('H', this.hint);
    return errorResponse(fields);
  }
}
