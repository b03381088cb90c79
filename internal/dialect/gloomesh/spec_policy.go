package gloomesh

import (
	"github.com/postern-gateway/postern/internal/dialect/glooauth"
	"github.com/postern-gateway/postern/internal/dialect/glootemplate"
	"github.com/postern-gateway/postern/internal/resource"
)

// applied is what every policy says of what it applies to.
type applied struct {
	ApplyToRoutes       []routeSelector       `json:"applyToRoutes"`
	ApplyToDestinations []destinationSelector `json:"applyToDestinations"`
}

// routeSelector picks routes by themselves or by where they lead.
type routeSelector struct {
	Route            *routeLabels         `json:"route"`
	WithDestinations *destinationSelector `json:"withDestinations"`
}

// routeLabels picks routes by labels of theirs or of their RouteTable.
type routeLabels struct {
	Labels    map[string]string `json:"labels"`
	Namespace string            `json:"namespace"`
	Cluster   string            `json:"cluster"`
	Workspace string            `json:"workspace"`
}

type destinationSelector struct {
	Selector *selector       `json:"selector"`
	Kind     destinationKind `json:"kind"`
	Port     *portRef        `json:"port"`
}

// phase is where around ext auth a policy runs. The priority orders policies
// that would all run; here the oldest alone does.
type phase struct {
	PreAuthz  *priority `json:"preAuthz"`
	PostAuthz *priority `json:"postAuthz"`
}

type priority struct {
	Priority *int `json:"priority"`
}

// guardPolicy is a policy that guards something and is not built.
type guardPolicy struct {
	Spec applied `json:"spec"`
}

// extAuthPolicy is security.policy.gloo.solo.io/v2 ExtAuthPolicy.
type extAuthPolicy struct {
	Spec struct {
		applied
		Config struct {
			Disable    bool           `json:"disable"`
			GlooAuth   *glooauth.Spec `json:"glooAuth"`
			CustomAuth present        `json:"customAuth"`
			Server     *objectRef     `json:"server"`
		} `json:"config"`
	} `json:"spec"`
}

// extAuthServer is admin.gloo.solo.io/v2 ExtAuthServer. The gateway carries
// glooAuth out by itself, so only what bounds the questions to others counts.
type extAuthServer struct {
	Spec struct {
		DestinationServer present           `json:"destinationServer"`
		HTTPService       present           `json:"httpService"`
		RequestTimeout    resource.Duration `json:"requestTimeout"`
		FailureModeAllow  bool              `json:"failureModeAllow"`
		RequestBody       *struct {
			MaxRequestBytes     int64 `json:"maxRequestBytes"`
			AllowPartialMessage bool  `json:"allowPartialMessage"`
			PackAsBytes         bool  `json:"packAsBytes"`
		} `json:"requestBody"`
		ClearRouteCache     bool    `json:"clearRouteCache"`
		StatusOnError       int     `json:"statusOnError"`
		TransportAPIVersion present `json:"transportApiVersion"`
		StatPrefix          string  `json:"statPrefix"`
	} `json:"spec"`
}

// transformationPolicy is trafficcontrol.policy.gloo.solo.io/v2
// TransformationPolicy.
type transformationPolicy struct {
	Spec struct {
		ApplyToRoutes []routeSelector `json:"applyToRoutes"`
		Config        struct {
			Phase   *phase `json:"phase"`
			Request *struct {
				RecalculateRoutingDestination bool                   `json:"recalculateRoutingDestination"`
				InjaTemplate                  *glootemplate.Template `json:"injaTemplate"`
			} `json:"request"`
			Response *struct {
				InjaTemplate *glootemplate.Template `json:"injaTemplate"`
			} `json:"response"`
		} `json:"config"`
	} `json:"spec"`
}

// headerPolicy is trafficcontrol.policy.gloo.solo.io/v2
// HeaderManipulationPolicy.
type headerPolicy struct {
	Spec struct {
		ApplyToRoutes            []routeSelector `json:"applyToRoutes"`
		ApplyToRouteDestinations []struct {
			Route          *routeLabels          `json:"route"`
			OnDestinations []destinationSelector `json:"onDestinations"`
		} `json:"applyToRouteDestinations"`
		Config struct {
			RemoveResponseHeaders []string          `json:"removeResponseHeaders"`
			AppendResponseHeaders map[string]string `json:"appendResponseHeaders"`
			RemoveRequestHeaders  []string          `json:"removeRequestHeaders"`
			AppendRequestHeaders  map[string]string `json:"appendRequestHeaders"`
		} `json:"config"`
	} `json:"spec"`
}

// corsPolicy is security.policy.gloo.solo.io/v2 CORSPolicy.
type corsPolicy struct {
	Spec struct {
		ApplyToRoutes []routeSelector `json:"applyToRoutes"`
		Config        struct {
			AllowOrigins     []originMatch     `json:"allowOrigins"`
			AllowMethods     []string          `json:"allowMethods"`
			AllowHeaders     []string          `json:"allowHeaders"`
			ExposeHeaders    []string          `json:"exposeHeaders"`
			MaxAge           resource.Duration `json:"maxAge"`
			AllowCredentials *bool             `json:"allowCredentials"`
		} `json:"config"`
	} `json:"spec"`
}

type originMatch struct {
	Exact  *string `json:"exact"`
	Prefix *string `json:"prefix"`
	Regex  *string `json:"regex"`
}

// retryTimeoutPolicy is resilience.policy.gloo.solo.io/v2 RetryTimeoutPolicy.
type retryTimeoutPolicy struct {
	Spec struct {
		ApplyToRoutes []routeSelector `json:"applyToRoutes"`
		Config        struct {
			Retries *struct {
				Attempts              *int              `json:"attempts"`
				PerTryTimeout         resource.Duration `json:"perTryTimeout"`
				RetryOn               string            `json:"retryOn"`
				RetryRemoteLocalities present           `json:"retryRemoteLocalities"`
			} `json:"retries"`
			RequestTimeout resource.Duration `json:"requestTimeout"`
		} `json:"config"`
	} `json:"spec"`
}
