"""Which rows a statement asks for: whether each table that it names is narrowed down to values of one column.

A table is tied when its column equals, by conditions that hold for every row of the answer (`where`, `on`, `and`; never `or`):

* a parameter or a constant, one of an array or of a list of them, or a column of rows made of them (`unnest($1)`, `values`);
* a column of another table, of a `with` or of a sub-select that is itself tied so.

So two tables that are tied to each other alone are not tied, nor is one that is tied "unless the parameter is null".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pglast import ast, enums, parse_sql

Column = tuple[int, str]
"""A relation of the statement, by number, and its column."""
VALUE: Column = (0, "")
"""What stands for every value."""
ROWS_OF_VALUES = -1
"""A relation whose rows are made of what was given."""

_OF_ROWS = (ast.SelectStmt, ast.InsertStmt, ast.UpdateStmt, ast.DeleteStmt)
_EQUALS = (enums.A_Expr_Kind.AEXPR_OP, enums.A_Expr_Kind.AEXPR_OP_ANY)


class _Scope:
    """What names mean at one place of a statement, and around it."""

    def __init__(self, outer: _Scope | None) -> None:
        self._outer = outer
        self.relations: dict[str, int] = {}
        self.made_with: dict[str, int] = {}

    def relation(self, name: str) -> int | None:
        if name in self.relations:
            return self.relations[name]
        return None if self._outer is None else self._outer.relation(name)

    def query(self, name: str) -> int | None:
        if name in self.made_with:
            return self.made_with[name]
        return None if self._outer is None else self._outer.query(name)

    def all_of(self) -> list[int]:
        """Those that a column without a name before it may belong to: the innermost that there are."""
        if self.relations or self._outer is None:
            return list(self.relations.values())
        return self._outer.all_of()


class Reach:
    """Of one statement. `by` is the column that each table of interest is to be tied by."""

    def __init__(self, by: Mapping[str, str]) -> None:
        self._by = by
        self._parent: dict[Column, Column] = {}
        self._tables: list[tuple[int, str]] = []
        self._stars: list[tuple[int, int]] = []
        self._last = 0

    def loose(self, sql: str) -> list[str]:
        """Tables of the statement that are not tied, by name."""
        statements: Any = parse_sql(sql)
        for statement in statements:
            if isinstance(statement.stmt, _OF_ROWS):
                self._statement(statement.stmt, None)
        for made, of in self._stars:
            for column in {column for _, column in self._parent} | set(self._by.values()):
                self._tie((made, column), (of, column))
        return sorted({table for number, table in self._tables if self._root((number, self._by[table])) != self._root(VALUE)})

    # --- what equals what

    def _root(self, column: Column) -> Column:
        while (parent := self._parent.setdefault(column, column)) != column:
            column = parent
        return column

    def _tie(self, one: Column, other: Column) -> None:
        self._parent[self._root(one)] = self._root(other)

    # --- statements

    def _statement(self, node: Any, outer: _Scope | None) -> _Scope:
        scope = _Scope(outer)
        for query in node.withClause.ctes if getattr(node, "withClause", None) else ():
            scope.made_with[query.ctename] = made = self._new()
            self._columns_of(made, query.ctequery, self._statement(query.ctequery, scope), query.aliascolnames)
        if isinstance(node, ast.SelectStmt) and node.op != enums.SetOperation.SETOP_NONE:
            self._statement(node.larg, scope)
            self._statement(node.rarg, scope)
            return scope
        if isinstance(node, ast.InsertStmt):
            self._insert(node, scope)
        else:
            self._from(node, scope)
        self._rest(node, scope)
        return scope

    def _from(self, node: Any, scope: _Scope) -> None:
        changed = getattr(node, "relation", None)
        items = getattr(node, "fromClause", None) or getattr(node, "usingClause", None) or ()
        for item in (*((changed,) if changed else ()), *items):
            self._item(item, scope)
        self._condition(node.whereClause, scope)

    def _insert(self, node: Any, scope: _Scope) -> None:
        number = self._item(node.relation, scope)
        table = f"{node.relation.schemaname}.{node.relation.relname}"
        if self._by.get(table) in {column.name for column in node.cols or ()}:
            self._tie((number, self._by[table]), VALUE)
        if node.selectStmt:
            self._statement(node.selectStmt, scope)

    def _rest(self, node: Any, scope: _Scope) -> None:
        """Sub-selects in what comes out, in what is set, in what is ordered by."""
        for part in _inside(node, "withClause", "fromClause", "usingClause", "whereClause", "relation", "selectStmt"):
            self._look_into(part, scope)

    def _look_into(self, node: Any, scope: _Scope) -> None:
        if isinstance(node, tuple | list):
            for part in node:  # pyright: ignore[reportUnknownVariableType]
                self._look_into(part, scope)
        elif isinstance(node, ast.SelectStmt):
            self._statement(node, scope)
        elif isinstance(node, ast.Node):
            for part in _inside(node):
                self._look_into(part, scope)

    # --- where rows come from

    def _new(self, table: str | None = None) -> int:
        self._last += 1
        if table in self._by:
            self._tables.append((self._last, str(table)))
        return self._last

    def _item(self, item: Any, scope: _Scope) -> int:
        """A table, a function, a sub-select or a join of them; returns the last one's number."""
        if isinstance(item, ast.JoinExpr):
            before = set(scope.relations.values())
            self._item(item.larg, scope)
            self._item(item.rarg, scope)
            self._condition(item.quals, scope)
            using: Any = item.usingClause or ()
            joined = [number for number in scope.relations.values() if number not in before]
            for name in using:
                for number in joined[1:]:
                    self._tie((joined[0], name.sval), (number, name.sval))
            return joined[-1]
        alias: Any = item.alias
        if isinstance(item, ast.RangeVar):
            made = None if item.schemaname else scope.query(str(item.relname))
            number = made or self._new(f"{item.schemaname}.{item.relname}")
            scope.relations[alias.aliasname if alias else str(item.relname)] = number
            return number
        number = ROWS_OF_VALUES
        if isinstance(item, ast.RangeSubselect):
            query: Any = item.subquery
            inner = self._statement(query, scope)
            if not query.valuesLists:
                number = self._new()
                self._columns_of(number, query, inner, alias.colnames if alias else None)
        else:
            self._look_into(item, scope)
        if alias:
            scope.relations[alias.aliasname] = number
        return number

    def _columns_of(self, made: int, query: Any, inner: _Scope, names: Any) -> None:
        """What the columns of a query are, by name. Of a union nothing is known."""
        if isinstance(query, ast.SelectStmt):
            targets: Any = query.targetList if query.op == enums.SetOperation.SETOP_NONE else ()
        else:
            targets = query.returningClause.exprs if query.returningClause else ()
        for place, target in enumerate(targets or ()):
            value = target.val
            fields = _fields(value)
            if fields and isinstance(fields[-1], ast.A_Star):
                of = [inner.relation(fields[0].sval)] if len(fields) > 1 else inner.all_of()
                self._stars += [(made, number) for number in of if number is not None]
                continue
            name = names[place].sval if names and place < len(names) else target.name
            name = name or (fields[-1].sval if fields else None)
            if name and (what := self._what(value, inner)) is not None:
                self._tie((made, name), what)

    # --- conditions

    def _condition(self, node: Any, scope: _Scope) -> None:
        if isinstance(node, ast.BoolExpr) and node.boolop == enums.BoolExprType.AND_EXPR:
            parts: Any = node.args
            for part in parts:
                self._condition(part, scope)
            return
        if isinstance(node, ast.A_Expr) and _operator(node) == "=":
            if node.kind in _EQUALS:
                self._equal(_parts(node.lexpr), _parts(node.rexpr), scope)
            elif node.kind == enums.A_Expr_Kind.AEXPR_IN:
                listed: Any = node.rexpr
                if all(self._what(value, scope) == VALUE for value in listed):
                    self._equal(_parts(node.lexpr), [listed[0]], scope)
        if isinstance(node, ast.SubLink) and node.subLinkType == enums.SubLinkType.ANY_SUBLINK:
            self._among(node, scope)
        self._look_into(node, scope)

    def _among(self, node: Any, scope: _Scope) -> None:
        if _names_a_table(node.subselect):
            return
        for part in _parts(node.testexpr):  # in (select … from unnest($1)): one of what was given
            if (column := self._what(part, scope)) is not None:
                self._tie(column, VALUE)

    def _equal(self, left: list[Any], right: list[Any], scope: _Scope) -> None:
        for one, other in zip(left, right, strict=False):
            a, b = self._what(one, scope), self._what(other, scope)
            if a is not None and b is not None:
                self._tie(a, b)

    def _what(self, node: Any, scope: _Scope) -> Column | None:
        """The column or the value that an expression is; None for anything else, what a function gives among it."""
        while isinstance(node, ast.TypeCast):
            node = node.arg
        if isinstance(node, ast.ParamRef | ast.A_Const):
            return VALUE
        fields = _fields(node)
        if not fields or isinstance(fields[-1], ast.A_Star):
            return None
        if len(fields) > 1:
            number = scope.relation(fields[-2].sval)
        else:
            there = scope.all_of()
            number = there[0] if len(there) == 1 else None
        if number is None:
            return None
        return VALUE if number == ROWS_OF_VALUES else (number, fields[-1].sval)


def _names_a_table(node: Any) -> bool:
    if isinstance(node, tuple | list):
        return any(_names_a_table(part) for part in node)  # pyright: ignore[reportUnknownVariableType]
    return isinstance(node, ast.RangeVar) or (isinstance(node, ast.Node) and _names_a_table(_inside(node)))


def nodes(tree: Any) -> Iterator[Any]:
    """Every part of a statement."""
    if isinstance(tree, tuple | list):
        for part in tree:  # pyright: ignore[reportUnknownVariableType]
            yield from nodes(part)
    elif isinstance(tree, ast.Node):
        yield tree
        yield from nodes(_inside(tree))


def _inside(node: Any, *but: str) -> list[Any]:
    """What a part of a statement is made of."""
    return [getattr(node, name, None) for name in node.__slots__ if name not in but]


def _fields(node: Any) -> list[Any]:
    """The names that a column is called by, the table's before it; none for what is no column."""
    fields: Any = node.fields if isinstance(node, ast.ColumnRef) else ()
    return list(fields)


def _operator(node: Any) -> str:
    return str(node.name[-1].sval)


def _parts(node: Any) -> list[Any]:
    """The columns of one side of a comparison, those of a row one by one."""
    parts: Any = node.args if isinstance(node, ast.RowExpr) else (node,)
    return list(parts)
