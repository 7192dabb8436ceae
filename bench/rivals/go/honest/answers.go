package main

import (
	"encoding/json"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	extproc "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	envoytype "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"

	"borderpost/bench/rivals/internal/serving"
)

const unavailableForLegalReasons = 451 // in no Envoy enum, which takes it all the same (RFC 7725)

func metadata(v *verdict, id string) *structpb.Struct {
	fields := map[string]*structpb.Value{
		"decision":     structpb.NewStringValue(id),
		"jurisdiction": structpb.NewStringValue(strings.Join(v.effective, ",")),
	}
	if v.chosen != "" {
		fields["region"], fields["rule"] = structpb.NewStringValue(v.chosen), structpb.NewStringValue(v.basis)
	} else {
		fields["rule"] = structpb.NewStringValue(v.reason)
	}
	return &structpb.Struct{Fields: fields}
}

func problem(v *verdict, id string) []byte {
	body, err := json.Marshal(map[string]any{
		"title": "unavailable for legal reasons", "status": unavailableForLegalReasons, "reason": v.reason, "decision": id,
	})
	if err != nil {
		panic(err) // strings and a number
	}
	return body
}

func option(key, value string, raw bool) *core.HeaderValueOption {
	header := &core.HeaderValue{Key: key}
	if raw { // ext_proc reads only raw_value, ext_authz only value (Envoy 1.40)
		header.RawValue = []byte(value)
	} else {
		header.Value = value
	}
	return &core.HeaderValueOption{Header: header, AppendAction: core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD}
}

func processAnswer(v *verdict, t *table, id string) *extproc.ProcessingResponse {
	answer := &extproc.ProcessingResponse{DynamicMetadata: &structpb.Struct{Fields: map[string]*structpb.Value{
		"borderpost": structpb.NewStructValue(metadata(v, id)),
	}}}
	if v.chosen == "" {
		answer.Response = &extproc.ProcessingResponse_ImmediateResponse{ImmediateResponse: &extproc.ImmediateResponse{
			Status:  &envoytype.HttpStatus{Code: unavailableForLegalReasons},
			Headers: &extproc.HeaderMutation{SetHeaders: []*core.HeaderValueOption{option("content-type", "application/problem+json", true)}},
			Body:    problem(v, id),
		}}
		return answer
	}
	answer.Response = &extproc.ProcessingResponse_RequestHeaders{RequestHeaders: &extproc.HeadersResponse{
		Response: &extproc.CommonResponse{
			HeaderMutation: &extproc.HeaderMutation{SetHeaders: []*core.HeaderValueOption{
				option(serving.ClusterHeader, t.Regions[v.chosen].Cluster, true),
			}},
			ClearRouteCache: true,
		},
	}}
	return answer
}

func checkAnswer(v *verdict, t *table, id string) *auth.CheckResponse {
	answer := &auth.CheckResponse{Status: &status.Status{}, DynamicMetadata: metadata(v, id)}
	if v.chosen == "" {
		answer.Status.Code = int32(codes.PermissionDenied)
		answer.HttpResponse = &auth.CheckResponse_DeniedResponse{DeniedResponse: &auth.DeniedHttpResponse{
			Status:  &envoytype.HttpStatus{Code: unavailableForLegalReasons},
			Headers: []*core.HeaderValueOption{option("content-type", "application/problem+json", false)},
			Body:    string(problem(v, id)),
		}}
		return answer
	}
	answer.HttpResponse = &auth.CheckResponse_OkResponse{OkResponse: &auth.OkHttpResponse{
		Headers: []*core.HeaderValueOption{option(serving.ClusterHeader, t.Regions[v.chosen].Cluster, false)},
	}}
	return answer
}
