import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRule } from "../../shared/rules/index.ts";
import { traefikLabels } from "../../shared/rules/labels.ts";
import { traefikName } from "./traefik-name.ts";

test("a project's name that Traefik can read is the one in its labels", () => {
  for (const name of ["shop", "my-shop", "Shop2", "42"]) assert.equal(traefikName(name), name);
});

test("labels of a project with a dot in its name are as deep as Traefik reads them", () => {
  const name = traefikName("my.shop");
  assert.match(name, /^my-shop-[0-9a-f]{16}$/);
  const labels = traefikLabels(name, parseRule("Host:a.example;PathPrefixStrip:/x"), 80);
  for (const label of Object.keys(labels))
    assert.match(
      label,
      /^traefik\.(?:\w+|frontend\.rule|http\.(?:routers\.[\w-]+\.\w+|services\.[\w-]+\.loadbalancer\.server\.port|middlewares\.[\w-]+\.stripprefix\.prefixes))$/,
    );
});

test("no two projects have one name, whatever version of Traefik reads it", () => {
  const projects = ["my.shop", "my-shop", "my_shop", "my..shop", "my.shop.", "my-.shop"];
  // As if somebody had called a project so.
  const names = [...projects, traefikName("my.shop")].map(traefikName);
  assert.equal(new Set(names).size, names.length);
  for (const name of names) assert.match(name, /^[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*$/);
});
