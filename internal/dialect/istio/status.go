package istio

import (
	"maps"

	"github.com/postern-gateway/postern/internal/dialect"
	"github.com/postern-gateway/postern/internal/dialect/condition"
	"github.com/postern-gateway/postern/internal/status"
)

// The condition types of IstioStatus
// (https://istio.io/latest/docs/reference/config/config-status/).
const (
	reconciled     = "Reconciled"
	passedAnalysis = "PassedAnalysis"
)

// objectStatus renders the statuses of Istio's kinds, whose shape is one, and
// those of ASM's, which are a word.
func objectStatus(live map[string]any, s dialect.Standing) map[string]any {
	verdict, why := s.Verdict()
	if verdict == dialect.Unknown {
		return live
	}
	why = condition.Bounded(why)
	out := maps.Clone(live)
	if out == nil {
		out = map[string]any{}
	}
	out["observedGeneration"] = s.Object.Generation
	if s.Object.Group == asm {
		out["status"] = [...]string{dialect.Accepted: "Accepted", dialect.Warned: "Warning", dialect.Rejected: "Failed"}[verdict]
		delete(out, "message")
		if why != "" {
			out["message"] = why
		}
		return out
	}
	m := condition.Merging{
		Generation: s.Object.Generation, Now: s.Now,
		Foreign: func(t string) bool { return t != reconciled && t != passedAnalysis },
	}
	out["conditions"] = m.Merge(live["conditions"], istioConditions(verdict, why))
	delete(out, "validationMessages")
	if found := validation(verdict, why); found != nil {
		out["validationMessages"] = found
	}
	return out
}

// istioConditions says whether what an object asks for is in force, and
// whether anything was found wrong with it.
func istioConditions(verdict dialect.Verdict, why string) []status.Outcome {
	in := status.Outcome{Condition: reconciled, OK: true, Reason: reconciled, Message: "in force"}
	passed := status.Outcome{Condition: passedAnalysis, OK: true, Reason: "noErrorsFound"}
	switch verdict {
	case dialect.Rejected:
		in.OK, in.Reason, in.Message = false, "errorsFound", why
		passed.OK, passed.Reason, passed.Message = false, "errorsFound", why
	case dialect.Warned:
		in.Message = why
		passed.OK, passed.Reason, passed.Message = false, "warningsFound", why
	}
	return []status.Outcome{in, passed}
}

// validation returns what was found wrong as istioctl's analyzers say it: the
// codes are those of what their validation refuses, and of what it warns of
// (https://istio.io/latest/docs/reference/config/analysis/).
func validation(verdict dialect.Verdict, why string) []any {
	code, name, level := "IST0106", "SchemaValidationError", "ERROR"
	switch verdict {
	case dialect.Rejected:
	case dialect.Warned:
		code, name, level = "IST0133", "SchemaWarning", "WARNING"
	default:
		return nil
	}
	return []any{map[string]any{"type": map[string]any{"code": code, "name": name}, "level": level, "message": why}}
}
