/** `T`, with optional members in place of those that may be undefined. */
type Defined<T> = { readonly [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  readonly [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

/**
 * The members that are not undefined. In our types an optional member is absent rather than undefined (`exactOptionalPropertyTypes`),
 * so that whatever is stored or compared has one shape. Spread the result into a literal: `{ id, ...defined({ note }) }`.
 */
export function defined<T extends object>(members: T): Defined<T>;
export function defined(members: object): object {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
}
