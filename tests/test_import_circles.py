"""No circle of imports between modules, those for type checking included."""

import grimp

PACKAGES = ("qhal", "qhal_drivers", "qhal_simulators")


def circle(modules, imports):
    """Return one circle of imports as the modules on it, empty if there is none."""
    state = {}  # absent: unseen, True: on the path, False: done
    for root in sorted(modules):
        path = [(root, iter(sorted(imports(root))))] if root not in state else []
        if path:
            state[root] = True
        while path:
            module, following = path[-1]
            for imported in following:
                if state.get(imported):
                    names = [name for name, _ in path]
                    return [*names[names.index(imported) :], imported]
                if imported not in state:
                    state[imported] = True
                    path.append((imported, iter(sorted(imports(imported)))))
                    break
            else:
                state[module] = False
                path.pop()
    return []


def test_no_circle_of_imports():
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    assert len(graph.modules) > 300
    found = circle(graph.modules, graph.find_modules_directly_imported_by)
    assert not found, " -> ".join(found)


def test_a_circle_is_found():
    imports = {"a": {"b", "d"}, "b": {"c"}, "c": {"e", "b"}, "d": set(), "e": set()}
    assert circle(imports, imports.__getitem__) == ["b", "c", "b"]
    assert circle({"a"}, {"a": set()}.__getitem__) == []
