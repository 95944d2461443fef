"""Statements: each function is a case; `e` is the event."""

import json
import re

LIMIT = 3
NAMES = {"a", "b"}
TABLE = {"a": 1, **{"b": 2}}
PATTERN = re.compile(r"(\w+)@(\w+)")
SEEN = None


class Oops(Exception):
    """An own exception."""


class Deeper(Oops):
    pass


class Base:
    kind = "base"

    def __init__(self, value=0):
        self.value = value

    def double(self):
        return self.value * 2

    @property
    def shown(self):
        return f"{self.kind}:{self.value}"

    @staticmethod
    def plus(a, b=1):
        return a + b


class Child(Base):
    kind = "child"

    def __init__(self, value):
        super().__init__(value)
        self.extra = [value]

    def double(self):
        return super().double() + 1


def helper(a, b=2, *rest, c=3, **more):
    return (a, b, rest, c, more)


def recurse(n):
    return 1 if n <= 1 else n * recurse(n - 1)


def case_for_else(e):
    out = []
    for x in e.get("list"):
        if x == "b":
            continue
        if x == "zz":
            break
        out.append(x)
    else:
        out.append("end")
    return out


def case_while(e):
    n = 0
    while True:
        n += 1
        if n > LIMIT:
            break
    else:
        n = -1
    while n > 100:
        n -= 1
    else:
        n += 10
    return n


def case_try_order(e):
    out = []
    try:
        out.append("try")
        out.append(e.get("s").lower())
    except AttributeError as error:
        out.append(str(error))
    except (TypeError, ValueError):
        out.append("type")
    else:
        out.append("else")
    finally:
        out.append("finally")
    return out


def case_finally_return(e):
    try:
        return e["nope"]
    except KeyError as error:
        return repr(error)
    finally:
        e.get("s")


def case_finally_wins(e):
    try:
        return 1 / 0
    finally:
        return "finally"


def case_finally_in_loop(e):
    out = []
    for i in range(3):
        try:
            if i == 1:
                continue
            out.append(i)
        finally:
            out.append("f")
    return out


def case_reraise(e):
    try:
        try:
            int(e.get("s"))
        except ValueError:
            raise
    except ValueError as error:
        return str(error)
    return "no error"


def case_raise_from(e):
    try:
        raise Oops("bad", 1) from ValueError("cause")
    except Oops as error:
        return str(error), error.args, isinstance(error, Exception)


def case_own_hierarchy(e):
    try:
        raise Deeper("x")
    except Oops as error:
        return type(error).__name__


def case_uncaught(e):
    raise Deeper(f"no {e.get('s')}")


def case_raise_class(e):
    raise KeyError


def case_raise_nothing(e):
    raise


def case_raise_wrong(e):
    raise "text"


def case_except_wrong(e):
    try:
        1 / 0
    except "text":
        return 1


def case_name_after_except(e):
    error = 1
    try:
        1 / 0
    except ZeroDivisionError as error:
        pass
    return error


def case_unbound(e):
    if e.get("nope"):
        x = 1
    return x


def case_assert(e):
    assert e.get("s"), "no s"
    assert e.get("empty"), f"empty is {e.get('empty')!r}"


def case_unpack(e):
    a, b, c = e.get("list")
    (d, *f), g = [1, 2, 3], 4
    *h, i = "xyz"
    return a, b, c, d, f, g, h, i


def case_unpack_few(e):
    a, b = e.get("list")
    return a


def case_unpack_many(e):
    a, b, c, d = e.get("nums")
    return a


def case_unpack_star(e):
    a, b, c, d, *f = [1, 2]
    return a


def case_unpack_none(e):
    a, b = e.get("none")
    return a


def case_swap(e):
    a, b = 1, 2
    a, b = b, a
    return a, b


def case_chain_assign(e):
    a = b = []
    a.append(1)
    return b


def case_augment(e):
    n = 1
    n += 2
    n *= 5
    n -= 1
    n //= 3
    n **= 2
    n %= 7
    s = "a"
    s += "b"
    items = [1]
    other = items
    items += (2, 3)
    d = {"k": 1}
    d["k"] += 1
    t = (1,)
    t += (2,)
    flags = {1}
    flags |= {2}
    return n, s, items, other is items, d, t, flags


def case_augment_bad(e):
    n = e.get("n")
    n += "x"
    return n


def case_augment_text(e):
    s = e.get("s")
    s += 1
    return s


def case_augment_event(e):
    n = e.get("list")
    n += ["x"]
    return n


def case_item_assign(e):
    d = {}
    d["a"] = 1
    d.setdefault("b", []).append(2)
    d.update({"c": 3}, f=4)
    d.update([("g", 5)])
    items = [1, 2, 3]
    items[0] = 9
    items[-1] = 8
    del items[1]
    del d["a"]
    return d, items


def case_item_assign_event(e):
    e["s"] = 1


def case_item_assign_nested(e):
    e.get("map")["s"] = 1


def case_item_assign_text(e):
    s = "abc"
    s[0] = "x"


def case_item_assign_tuple(e):
    t = (1,)
    t[0] = 2


def case_item_assign_range(e):
    items = [1]
    items[5] = 2


def case_delete_missing(e):
    d = {}
    del d["x"]


def case_list_methods(e):
    items = [3, 1, 2]
    items.append(5)
    items.extend("ab"[:1])
    items.insert(0, 0)
    items.insert(100, 9)
    popped = items.pop(), items.pop(0)
    items.remove("a")
    items.sort(reverse=True)
    items.reverse()
    return items, popped, items.copy(), items.count(5)


def case_list_remove(e):
    [1].remove(2)


def case_list_pop(e):
    [].pop()


def case_dict_methods(e):
    d = {"a": 1, "b": 2, "c": 3}
    out = [d.pop("a"), d.pop("x", 0), d.popitem(), list(d), len(d)]
    d.clear()
    return out, d


def case_dict_pop(e):
    {}.pop("x")


def case_set_methods(e):
    s = {1, 2}
    s.add(3)
    s.add(1)
    s.discard(9)
    s.remove(2)
    s.update([7], (8,))
    return s, len(s)


def case_set_remove(e):
    {1}.remove(5)


def case_set_add_list(e):
    s = set()
    s.add([])


def case_dict_order(e):
    d = {"b": 1, "a": 2}
    d["c"] = 3
    d["b"] = 4
    del d["a"]
    d["a"] = 5
    return list(d.items())


def case_dict_changes(e):
    d = {"a": 1}
    for k in d:
        d[k + "x"] = 1
    return d


def case_list_grows(e):
    items = [1, 2]
    for x in items:
        if len(items) < 5:
            items.append(x)
    return items


def case_helper(e):
    return helper(1), helper(1, 3, 4, 5, c=6, z=7), helper(*[1, 2], **{"c": 4}), helper(b=1, a=0)


def case_helper_missing(e):
    return helper()


def case_helper_twice(e):
    return helper(1, a=2)


def case_recursion(e):
    return recurse(10)


def case_closure(e):
    n = 0

    def bump(by=1):
        nonlocal n
        n += by
        return n

    bump()
    bump(5)
    return n, [bump() for _ in range(2)], n


def case_closure_late(e):
    functions = []
    for i in range(3):
        functions.append(lambda: i)
    return [f() for f in functions]


def case_generator_lazy(e):
    out = []

    def note(x):
        out.append(x)
        return x > 1

    found = any(note(x) for x in [1, 2, 3])
    gen = (note(x) for x in [7, 8])
    before = list(out)
    return found, before, list(gen), out, list(gen)


def case_generator_first_iter(e):
    gen = (x for x in e.get("nope"))
    return 1


def case_generator_error(e):
    gen = (1 / x for x in [1, 0])
    out = [next(gen)]
    try:
        next(gen)
    except ZeroDivisionError:
        out.append("zero")
    return out, list(gen)


def case_generator_nested(e):
    pairs = ((x, y) for x in range(3) if x for y in range(x))
    return list(pairs)


def case_stop_iteration(e):
    return list(next(iter([])) for _ in range(2))


def case_comp_scope(e):
    x = "outer"
    inner = [x for x in range(3)]
    return x, inner


def case_comp_closure(e):
    k = 2
    return [x * k for x in e.get("nums")], (lambda: [k + y for y in range(2)])()


def case_global(e):
    global SEEN
    SEEN = e.get("s")
    return SEEN


def case_match(e):
    match e.get("s"):
        case "Alice" | "Bob":
            return "known"
        case None:
            return "none"
        case other:
            return other


def case_classes(e):
    a, b = Base(), Child(3)
    b.value += 1
    return a.double(), b.double(), a.shown, b.shown, b.extra, Base.plus(1), b.plus(1, 2), isinstance(b, Base), Child.kind


def case_class_attribute(e):
    return Base().nope


def case_class_arguments(e):
    return Child()


def case_class_property_set(e):
    Base().shown = 1


def case_regex_constant(e):
    found = PATTERN.search("mail me@home now")
    return found.group(0), found.group(1, 2), PATTERN.search("none")


def case_constants(e):
    return LIMIT, sorted(NAMES), TABLE, "a" in NAMES, TABLE.get("zz", LIMIT)


def case_json_default(e):
    try:
        return json.loads(e.get("json")).get("k")[0]
    except (json.JSONDecodeError, TypeError, AttributeError, KeyError, IndexError) as error:
        return type(error).__name__


def case_string_build(e):
    out = ""
    for key, value in e.items():
        if isinstance(value, str) and value:
            out += f"{key}={value};"
    return out


def case_nested_functions(e):
    def outer(a):
        def inner(b):
            return a + b + (e.get("n") or 0)

        return inner

    return outer(1)(2)


def case_early_return(e):
    for row in e.get("rows", []):
        for key in row:
            if key == "v":
                return row[key]
    return None


def case_default_list(e):
    def f(x, acc=None):
        acc = acc or []
        acc.append(x)
        return acc

    return f(1), f(2)


def case_star_call_error(e):
    return helper(*5)


def case_double_star_error(e):
    return helper(**5)


def case_bool_return(e):
    return not e.get("s") or e.get("n") and e.get("list")


def case_ternary_chain(e):
    n = e.get("n")
    return "big" if n > 100 else "mid" if n > 10 else "small"


def case_delete_name(e):
    x = 1
    del x
    return x


def case_walrus_loop(e):
    items = [1, 2, 0, 3]
    out = []
    while (x := items.pop(0)):
        out.append(x)
    return out, x


def case_sorted_by_two(e):
    rows = [{"a": 2, "b": 1}, {"a": 1, "b": 2}, {"a": 2, "b": 0}]
    return sorted(rows, key=lambda r: (-r["a"], r["b"]))


def case_exception_attributes(e):
    try:
        {}["x"]
    except Exception as error:
        return error.args, str(error), repr(error), type(error).__name__


def case_exception_in_handler(e):
    try:
        1 / 0
    except ZeroDivisionError:
        return undefined_name


def case_import_inside(e):
    def local():
        return LIMIT

    return local()
