package system

import "slices"

// Order gives the services so that each stands after all that it depends on,
// and otherwise by name. Load has refused cycles.
func (s *System) Order() []string {
	var order []string
	var visit func(name string)
	visit = func(name string) {
		service, ok := s.Service(name)
		if !ok || slices.Contains(order, name) {
			return
		}
		for _, dependency := range service.DependsOn {
			visit(dependency.Service)
		}
		order = append(order, name)
	}
	for _, service := range s.Services {
		visit(service.Name)
	}
	return order
}

// Dependents gives the services that depend on one, directly or through
// others, sorted by name.
func (s *System) Dependents(name string) []string {
	found := map[string]bool{}
	var visit func(name string)
	visit = func(name string) {
		for _, service := range s.Services {
			if !found[service.Name] && slices.ContainsFunc(service.DependsOn, func(d Dependency) bool { return d.Service == name }) {
				found[service.Name] = true
				visit(service.Name)
			}
		}
	}
	visit(name)
	var names []string
	for _, service := range s.Services {
		if found[service.Name] {
			names = append(names, service.Name)
		}
	}
	return names
}
