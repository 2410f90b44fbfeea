/**
 * One module: types, imports, functions, tables, memory, globals, exports, elements and data, written as the binary
 * format wants them (chapter "Modules").
 *
 * Imports take the first indices, so they are declared before what the module defines. One memory; any number of
 * tables, which hold functions.
 *
 * @module
 */

import { ByteWriter } from "./encoding.ts";
import type { FunctionContext, Global } from "./expression.ts";
import { FunctionBuilder, type FunctionHandle, type Table } from "./function.ts";
import {
  type AddressType,
  type FunctionType,
  type MemoryType,
  type TableType,
  ValidationError,
  type ValueType,
  valueTypeCodes,
} from "./types.ts";

/** Value of a global at the start. */
export type GlobalValue = number | bigint;

/** A module that is being put together. */
export class ModuleBuilder implements FunctionContext {
  #names: boolean;
  #types: FunctionType[] = [];
  #typeIndices = new Map<string, number>();
  #imports: ByteWriter = new ByteWriter();
  #importCount = 0;
  #imported: FunctionHandle[] = [];
  #functions: FunctionBuilder[] = [];
  #tables: TableType[] = [];
  #tableCount = 0;
  #memory: MemoryType | undefined;
  #memoryImported = false;
  #globals: { readonly global: Global; readonly value: GlobalValue }[] = [];
  #globalCount = 0;
  #exports = new Map<string, readonly [kind: number, index: number]>();
  #start: FunctionHandle | undefined;
  #elements: {
    readonly table: Table;
    readonly offset: number;
    readonly functions: readonly FunctionHandle[];
  }[] = [];
  #data: { readonly offset: number; readonly bytes: Uint8Array }[] = [];

  /**
   * An empty module.
   *
   * @param options `names: false` leaves out the section that names functions in profiles and stack traces
   */
  constructor(options: { readonly names?: boolean } = {}) {
    this.#names = options.names ?? true;
  }

  /** Type of addresses of the memory; undefined while there is none. */
  get addressType(): AddressType | undefined {
    return this.#memory && (this.#memory.memory64 ? "i64" : "i32");
  }

  /** Index of a function type in the type section; added when it is new. */
  typeIndex(type: FunctionType): number {
    const key = `${type.params.join()}:${type.results.join()}`;
    let index = this.#typeIndices.get(key);
    if (index === undefined) {
      index = this.#types.push(type) - 1;
      this.#typeIndices.set(key, index);
    }
    return index;
  }

  /** Imports the memory. */
  importMemory(module: string, name: string, type: MemoryType): void {
    this.#setMemory(type, `${module}.${name}`);
    this.#memoryImported = true;
    this.#import(module, name, 0x02);
    writeMemoryType(this.#imports, type);
  }

  /** Defines the memory; `export` is the name to export it under. */
  memory(type: MemoryType & { readonly export?: string }): void {
    this.#setMemory(type, "memory");
    if (type.export !== undefined) this.#export(type.export, 0x02, 0);
  }

  /** Imports a function. */
  importFunction(
    module: string,
    name: string,
    params: readonly ValueType[],
    results: readonly ValueType[],
  ): FunctionHandle {
    this.#importsFirst(this.#functions.length, `${module}.${name}`, "function");
    const type = { params, results };
    this.#import(module, name, 0x00);
    this.#imports.unsigned(this.typeIndex(type));
    const handle = { index: this.#imported.length, name: `${module}.${name}`, type };
    this.#imported.push(handle);
    return handle;
  }

  /** Imports a global. */
  importGlobal(
    module: string,
    name: string,
    type: ValueType,
    options: { readonly mutable?: boolean } = {},
  ): Global {
    this.#importsFirst(this.#globals.length, `${module}.${name}`, "global");
    const mutable = options.mutable ?? false;
    this.#import(module, name, 0x03);
    this.#imports.byte(valueTypeCodes[type]);
    this.#imports.byte(mutable ? 1 : 0);
    return { index: this.#globalCount++, type, mutable };
  }

  /** Imports a table of functions. */
  importTable(module: string, name: string, type: TableType): Table {
    this.#importsFirst(this.#tables.length, `${module}.${name}`, "table");
    this.#import(module, name, 0x01);
    writeTableType(this.#imports, type);
    return { index: this.#tableCount++ };
  }

  /**
   * Starts a function and gives the builder of its body. It is exported under its name unless `export` is false or
   * another name. Several functions may be written at the same time.
   */
  function(
    name: string,
    options: {
      readonly params?: readonly ValueType[];
      readonly results?: readonly ValueType[];
      readonly export?: boolean | string;
    } = {},
  ): FunctionBuilder {
    const index = this.#imported.length + this.#functions.length;
    const type = { params: options.params ?? [], results: options.results ?? [] };
    const builder = new FunctionBuilder(this, index, name, type);
    this.#functions.push(builder);
    const exported = options.export ?? true;
    if (exported !== false) this.#export(exported === true ? name : exported, 0x00, index);
    return builder;
  }

  /** Defines a global with the value it has at the start; `export` is the name to export it under. */
  global(
    type: ValueType,
    value: GlobalValue,
    options: { readonly mutable?: boolean; readonly export?: string } = {},
  ): Global {
    const global = { index: this.#globalCount++, type, mutable: options.mutable ?? false };
    if (type === "v128") {
      throw new ValidationError("a global of v128 has no constant here; use a local or memory");
    }
    this.#globals.push({ global, value });
    if (options.export !== undefined) this.#export(options.export, 0x03, global.index);
    return global;
  }

  /** Defines a table of functions; `export` is the name to export it under. */
  table(type: TableType & { readonly export?: string }): Table {
    const table = { index: this.#tableCount++ };
    this.#tables.push(type);
    if (type.export !== undefined) this.#export(type.export, 0x01, table.index);
    return table;
  }

  /** Puts functions into a table, from entry `offset` on, when the module is instantiated. */
  elements(table: Table, offset: number, functions: readonly FunctionHandle[]): void {
    this.#elements.push({ table, offset, functions });
  }

  /** Puts bytes into memory at address `offset` when the module is instantiated. */
  data(offset: number, bytes: Uint8Array): void {
    if (this.#memory === undefined) throw new ValidationError("data needs a memory; declare it before");
    this.#data.push({ offset, bytes });
  }

  /** Calls a function that takes and gives nothing when the module is instantiated. */
  start(handle: FunctionHandle): void {
    this.#start = handle;
  }

  /**
   * The module in the binary format. Ends the functions that are still open.
   *
   * @throws ValidationError when a function does not leave its results on the stack
   */
  build(): Uint8Array<ArrayBuffer> {
    const code = new ByteWriter(4096);
    code.unsigned(this.#functions.length);
    for (const builder of this.#functions) builder.writeTo(code);

    const out = new ByteWriter(code.length + 1024);
    out.bytes([0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]);
    const body = new ByteWriter(1024);
    const section = (id: number, count: number, write: () => void): void => {
      if (count === 0) return;
      body.clear();
      body.unsigned(count);
      write();
      out.byte(id);
      out.vector(body.view());
    };
    // The type section comes first but is complete only now: blocks and indirect calls add to it.
    for (const builder of this.#functions) this.typeIndex(builder.type);
    section(1, this.#types.length, () => this.#types.forEach((type) => writeFunctionType(body, type)));
    section(2, this.#importCount, () => body.bytes(this.#imports.view()));
    section(
      3,
      this.#functions.length,
      () => this.#functions.forEach((f) => body.unsigned(this.typeIndex(f.type))),
    );
    section(4, this.#tables.length, () => this.#tables.forEach((type) => writeTableType(body, type)));
    const memory = this.#memory;
    section(5, memory && !this.#memoryImported ? 1 : 0, () => memory && writeMemoryType(body, memory));
    section(6, this.#globals.length, () => {
      for (const { global, value } of this.#globals) {
        body.byte(valueTypeCodes[global.type]);
        body.byte(global.mutable ? 1 : 0);
        writeConstant(body, global.type, value);
      }
    });
    section(7, this.#exports.size, () => {
      for (const [name, [kind, index]] of this.#exports) {
        body.text(name);
        body.byte(kind);
        body.unsigned(index);
      }
    });
    if (this.#start !== undefined) {
      body.clear();
      body.unsigned(this.#start.index);
      out.byte(8);
      out.vector(body.view());
    }
    section(9, this.#elements.length, () => {
      for (const { table, offset, functions } of this.#elements) {
        body.byte(0x02);
        body.unsigned(table.index);
        writeConstant(body, "i32", offset);
        body.byte(0x00);
        body.unsigned(functions.length);
        functions.forEach((handle) => body.unsigned(handle.index));
      }
    });
    if (this.#functions.length > 0) {
      out.byte(10);
      out.vector(code.view());
    }
    section(11, this.#data.length, () => {
      for (const { offset, bytes } of this.#data) {
        body.byte(0x00);
        writeConstant(body, this.addressType ?? "i32", offset);
        body.vector(bytes);
      }
    });
    if (this.#names) this.#writeNames(out);
    return out.toBytes();
  }

  #writeNames(out: ByteWriter): void {
    const functions: FunctionHandle[] = [...this.#imported, ...this.#functions];
    if (functions.length === 0) return;
    const map = new ByteWriter();
    map.unsigned(functions.length);
    for (const { index, name } of functions) {
      map.unsigned(index);
      map.text(name);
    }
    const body = new ByteWriter();
    body.text("name");
    body.byte(1);
    body.vector(map.view());
    out.byte(0);
    out.vector(body.view());
  }

  #import(module: string, name: string, kind: number): void {
    this.#importCount++;
    this.#imports.text(module);
    this.#imports.text(name);
    this.#imports.byte(kind);
  }

  #importsFirst(defined: number, name: string, kind: string): void {
    if (defined > 0) {
      throw new ValidationError(`import ${kind} ${name} before the first ${kind} that is defined`);
    }
  }

  #export(name: string, kind: number, index: number): void {
    if (this.#exports.has(name)) {
      throw new ValidationError(`the module already exports ${JSON.stringify(name)}`);
    }
    this.#exports.set(name, [kind, index]);
  }

  #setMemory(type: MemoryType, name: string): void {
    if (this.#memory !== undefined) {
      throw new ValidationError(`memory ${name}: the module already has its memory`);
    }
    if (type.shared && type.maximum === undefined) {
      throw new ValidationError(`memory ${name}: a shared memory must have a maximum`);
    }
    this.#memory = type;
  }
}

function writeFunctionType(out: ByteWriter, { params, results }: FunctionType): void {
  out.byte(0x60);
  for (const types of [params, results]) {
    out.unsigned(types.length);
    for (const type of types) out.byte(valueTypeCodes[type]);
  }
}

function writeMemoryType(out: ByteWriter, { initial, maximum, shared, memory64 }: MemoryType): void {
  out.byte((maximum === undefined ? 0 : 1) | (shared ? 2 : 0) | (memory64 ? 4 : 0));
  out.unsigned(initial);
  if (maximum !== undefined) out.unsigned(maximum);
}

function writeTableType(out: ByteWriter, { initial, maximum }: TableType): void {
  out.byte(0x70);
  out.byte(maximum === undefined ? 0 : 1);
  out.unsigned(initial);
  if (maximum !== undefined) out.unsigned(maximum);
}

function writeConstant(out: ByteWriter, type: ValueType, value: GlobalValue): void {
  if (type === "i32") {
    out.byte(0x41);
    out.signed32(Number(value));
  } else if (type === "i64") {
    out.byte(0x42);
    out.signed64(value);
  } else if (type === "f32") {
    out.byte(0x43);
    out.f32(Number(value));
  } else {
    out.byte(0x44);
    out.f64(Number(value));
  }
  out.byte(0x0b);
}
