/**
 * Errors that every rank throws at the same time: one of them need speak.
 *
 * @module
 */
const common = new WeakSet<object>();

/** Marks an error as thrown on all ranks. */
export function onAllRanks<E extends Error>(error: E): E {
  common.add(error);
  return error;
}

/** Whether it is marked so. */
export function isOnAllRanks(error: object): boolean {
  return common.has(error);
}
